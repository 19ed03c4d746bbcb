"""Reads the beginning of files, which tells what they are whatever their names are."""

import os
import stat

from tfrecords_builder.decoding import BEGINNING_BYTES, DICOM, FORMATS, recognize

READ_FORMATS = (*FORMATS, DICOM)
"""Formats that are read as images."""


def format_of(path: str) -> str | None:
    """The format of a file by its first bytes, as `recognize` names it.

    It is None if the format is unknown, if there is no regular file, or if it cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - opening a pipe might never end
            return None
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - many times as fast as Path.open
            return recognize(file.read(BEGINNING_BYTES))
    except OSError:
        return None
