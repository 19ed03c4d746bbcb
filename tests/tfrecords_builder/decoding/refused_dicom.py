"""DICOM files that are refused, and what is said of each."""

import struct

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import MPEG2MPML, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1

from tests.tfrecords_builder.decoding.dicom_files import STORED, dataset, lut, table_of_bytes
from tests.tfrecords_builder.image_files import jpeg_claiming


def claiming_jpeg_2000(width: int, height: int) -> Dataset:
    """A DICOM of 64x64 pixels whose compressed pixels say another size."""
    made = dataset(np.zeros((64, 64), np.uint16))
    made.compress(JPEG2000Lossless)
    frame = bytearray(get_frame(made.PixelData, 0, number_of_frames=1))
    size = frame.index(b"\xff\x4f\xff\x51") + 8
    frame[size : size + 8] = struct.pack(">II", width, height)
    made.PixelData = encapsulate([bytes(frame)])
    return made


def lossless_jpeg(width: int, height: int) -> bytes:
    """The header of a JPEG without loss."""
    frame = b"\xff\xc3" + struct.pack(">HBHHB", 11, 12, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8" + frame + b"\xff\xda" + struct.pack(">HB", 8, 1) + bytes(5) + b"\xff\xd9"


REFUSED = {
    "frames": (dataset(NumberOfFrames=2), "DICOM with 2 frames: expected one frame"),
    "color": (
        dataset(PhotometricInterpretation="RGB", SamplesPerPixel=3),
        "DICOM in RGB with 3 samples per pixel: expected MONOCHROME1 or MONOCHROME2 with 1",
    ),
    "gray of three samples": (
        dataset(SamplesPerPixel=3),
        "DICOM in MONOCHROME2 with 3 samples per pixel: expected MONOCHROME1 or MONOCHROME2 with 1",
    ),
    "palette": (
        dataset(PhotometricInterpretation="PALETTE COLOR"),
        "DICOM in PALETTE COLOR with 1 samples per pixel: expected MONOCHROME1 or MONOCHROME2 with 1",
    ),
    "32 bits": (
        dataset(STORED.astype(np.uint32)),
        "DICOM with 32 bits per pixel: expected 1, 8 or 16",
    ),
    "12 bits in 12": (dataset(BitsAllocated=12), "DICOM with 12 bits per pixel: expected 1, 8 or 16"),
    "bits that a word does not have": (
        dataset(HighBit=10),
        "DICOM with BitsStored 12 and HighBit 10 in 16 bits per pixel: there are no such bits",
    ),
    "huge": (
        dataset(Rows=60000, Columns=60000),
        "60000x60000 pixels are more than the limit of 67108864",
    ),
    "long": (dataset(Rows=3, Columns=65501), "65501x3 pixels: the limit of each side is 65500"),
    "no pixels": (dataset(Rows=0), "DICOM without pixels, or cut off before them"),
    "pixels of a second frame": (
        dataset(PixelData=2 * STORED.tobytes()),
        "DICOM with pixels of shape (2, 2, 3): expected one frame",
    ),
    "too few pixels": (dataset(Rows=20), "DICOM that is cut off: 12 bytes of pixels, expected 120"),
    "padding alone": (
        dataset(np.full((2, 3), 7, np.uint16), PixelPaddingValue=7),
        "DICOM whose pixels are all padding",
    ),
    "a table that is cut off": (
        dataset(VOILUTSequence=table_of_bytes(bytes(6), 256, 0, 16)),
        "DICOM whose lookup table is cut off: 3 entries, expected 256",
    ),
    "a modality table that is cut off": (
        dataset(ModalityLUTSequence=table_of_bytes(bytes(6), 256, 0, 16)),
        "DICOM whose lookup table is cut off: 3 entries, expected 256",
    ),
    "a table of 0 bits": (
        dataset(VOILUTSequence=lut(0, 0, [1, 2])),
        "DICOM whose lookup table has entries of 0 bits: expected 1 to 16",
    ),
    "a table of 32 bits": (
        dataset(ModalityLUTSequence=lut(0, 32, [1, 2])),
        "DICOM whose lookup table has entries of 32 bits: expected 1 to 16",
    ),
    "a table that is not described": (
        dataset(VOILUTSequence=table_of_bytes(bytes(6))),
        "DICOM whose lookup table is not described",
    ),
    "jpeg 2000 of another size": (
        claiming_jpeg_2000(60000, 60000),
        "DICOM whose compressed pixels are 60000x60000x1 (width, height, samples): expected 64x64x1",
    ),
    "jpeg of another size": (
        dataset(syntax=JPEGBaseline8Bit, bits=8, PixelData=encapsulate([jpeg_claiming(60000, 50000)])),
        "DICOM whose compressed pixels are 60000x50000x1 (width, height, samples): expected 3x2x1",
    ),
    "lossless jpeg": (
        dataset(syntax=JPEGLosslessSV1, PixelData=encapsulate([lossless_jpeg(3, 2)])),
        "DICOM compressed as JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection "
        "Value 1]): no installed package decompresses it; pylibjpeg-libjpeg or python-gdcm may",
    ),
    "video": (
        dataset(syntax=MPEG2MPML, PixelData=encapsulate([bytes(100)])),
        "DICOM compressed as MPEG2 Main Profile / Main Level: no installed package decompresses it; "
        "pylibjpeg-libjpeg or python-gdcm may",
    ),
}
