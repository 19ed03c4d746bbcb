"""Turns a finished run into a version of the model that TensorFlow Serving serves.

The way in is `publish.publish`, which `python -m serving.export` calls. Importing it loads TensorFlow.
"""
