"""Reads who is on a DICOM image from its header, with pydicom (extra `dicom`)."""

from tfrecords_builder.decoding.dicom import import_pydicom
from tfrecords_builder.source.names import whole_number


def read_patient_id(path: str) -> str:
    """The PatientID (0010,0020) of a DICOM file; empty if it has none or cannot be read.

    Raises:
        UserError: if pydicom is not installed.
    """
    import_pydicom()
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"], force=True)
        return whole_number(str(header.get("PatientID") or "").strip(" \0"))
    # pydicom also raises errors of struct, zlib and numpy. The decoder reports a file that is damaged.
    except Exception:
        return ""
