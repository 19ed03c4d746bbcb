"""Export to TensorFlow Serving, a local server over the same APIs, and their client."""
