"""Decodes image files to gray: `decode_reduced` for records, `decode_in_graph` for the served model.

`decode` gives the whole image, to look at.

A new image format starts in `formats.py`.
"""

from tfrecords_builder.decoding.dispatch import decode, decode_in_graph, decode_reduced
from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.formats import (
    BEGINNING_BYTES,
    DICOM,
    DICOM_SUFFIXES,
    FORMATS,
    MAX_PIXELS,
    SUFFIXES,
    recognize,
)
from tfrecords_builder.decoding.headers.read import read_header
from tfrecords_builder.decoding.scaling import SixteenBits

__all__ = [
    "BEGINNING_BYTES",
    "DICOM",
    "DICOM_SUFFIXES",
    "FORMATS",
    "MAX_PIXELS",
    "SUFFIXES",
    "SixteenBits",
    "UnreadableImage",
    "decode",
    "decode_in_graph",
    "decode_reduced",
    "read_header",
    "recognize",
]
