"""Which image files this project reads, and how large they may be.

To add a format: name it here with its suffixes, and teach both decoders to read it (`opencv.py` for the
builder, `graph.py` for the served model). Add files of it to `tests/tfrecords_builder/image_files.py`: the
tests then compare the two decoders.
"""

FORMATS = ("JPEG", "PNG", "BMP", "GIF")
"""Formats that every part of the project reads, by their names in Pillow."""

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".gif")
"""Ends of the names of files in these formats, in lower case."""

DICOM_SUFFIXES = (".dcm", ".dicom")
"""Ends of the names of DICOM files, in lower case. The served model does not read DICOM."""

MAX_PIXELS = 1 << 26
"""Most pixels that an image may have: 67 megapixels, three times the largest X-ray of the public datasets."""


def too_many_pixels(width: int, height: int) -> str:
    """Explains why an image is refused that has more than MAX_PIXELS."""
    return f"{width}x{height} pixels are more than the limit of {MAX_PIXELS}"
