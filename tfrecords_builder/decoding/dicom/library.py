"""pydicom, which an extra installs."""

import functools
import logging
import warnings

from tfrecords_builder.errors import UserError


@functools.cache
def import_pydicom() -> None:
    """Imports pydicom and silences it.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import pydicom.pixels  # noqa: F401
    except ImportError:
        raise UserError(
            "DICOM files need pydicom: pip install chest-xray-pipeline[dicom], or convert them to PNG"
        ) from None
    # Files from hospitals break rules that do not change the pixels, and pydicom warns of each. What does
    # change them also raises. The filter stays for the whole process: warnings.catch_warnings is not
    # thread-safe.
    warnings.filterwarnings("ignore", module=r"pydicom\b")
    for name in ("openjpeg", "pydicom", "pylibjpeg"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
