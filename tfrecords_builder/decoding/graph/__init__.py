"""Decodes image files with TensorFlow operations, for the served model; `decode.decode` is the way in.

It does what `opencv.py` describes. Every operation is one of TensorFlow's own that runs on a CPU, so that
TensorFlow Serving runs it too. No decoder of TensorFlow sees bytes that were not checked before: it would
tell the format by itself, and read others than those named.
"""
