"""The room of the export: it turns a finished run into a version that TensorFlow Serving serves.

The way in is `publish.publish`, which `python -m serving.export` calls. Importing it loads TensorFlow.
"""
