"""Reads the headers of image files, without decoding a pixel; `read.read_header` is the way in.

It needs neither OpenCV nor TensorFlow, so that clients can use it. `graph/` does the same in TensorFlow.
"""
