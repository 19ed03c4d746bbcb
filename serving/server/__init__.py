"""The local server: TensorFlow Serving's two APIs, models and configuration files, in this process."""
