"""The parts that `pipeline.model` builds the classifier from. All are layers of Keras itself.

So a saved model is loaded without this project, and every part runs on every Keras backend.
"""
