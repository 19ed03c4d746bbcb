"""DICOM files as X-ray machines and archives write them, for tests."""

import io

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian

# 12 bits in 16, as X-ray detectors store them.
STORED = np.array([[0, 100, 1000], [2000, 3000, 4095]], np.uint16)


def dataset(
    stored: np.ndarray = STORED, *, bits: int = 12, syntax=ExplicitVRLittleEndian, **elements
) -> Dataset:
    """A gray X-ray with every element that its pixels need, and with `elements`."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3"
    made.Rows, made.Columns = stored.shape
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = 8 * stored.itemsize
    made.BitsStored, made.HighBit = bits, bits - 1
    made.PixelRepresentation = int(stored.dtype.kind == "i")
    made.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def as_file(made: Dataset) -> bytes:
    data = io.BytesIO()
    made.save_as(data, enforce_file_format=True)
    return data.getvalue()


def lut(first: int, bits: int, values: list[int]) -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "US", values)
    return [item]


def jpeg_inside(height: int, width: int) -> bytes:
    """The element with pixels that are compressed as JPEG, as in the files of the RSNA challenge."""
    y, x = np.mgrid[:height, :width]
    encoded = io.BytesIO()
    Image.fromarray((2 * x + y).astype(np.uint8)).save(encoded, "JPEG", quality=95)
    return encapsulate([encoded.getvalue()])


def table_of_bytes(data: bytes, *descriptor: int) -> list[Dataset]:
    """A sequence with a lookup table whose entries are stored as bytes."""
    (item,) = lut(0, 16, [0])
    item.add_new("LUTDescriptor", "US", list(descriptor))
    item.add_new("LUTData", "OW", data)
    return [item]
