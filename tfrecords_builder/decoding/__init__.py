"""Decodes image files to gray: `decode` for the builder, `decode_in_graph` for the served model.

A new image format starts in `formats.py`.
"""

from tfrecords_builder.decoding.dispatch import decode, decode_in_graph
from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.formats import DICOM_SUFFIXES, FORMATS, MAX_PIXELS, SUFFIXES
from tfrecords_builder.decoding.header import Header, read_header

__all__ = [
    "DICOM_SUFFIXES",
    "FORMATS",
    "MAX_PIXELS",
    "SUFFIXES",
    "Header",
    "UnreadableImage",
    "decode",
    "decode_in_graph",
    "read_header",
]
