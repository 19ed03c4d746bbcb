"""X-rays as hospitals have them: 20 DICOM files, each of another kind, and one that is compressed."""

import numpy as np
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from tests.tfrecords_builder.decoding.dicom_files import as_file, dataset, jpeg_inside, lut

HEIGHT, WIDTH = 70, 90
NAME = "Doe^Jane"


def xray(number: int, dtype: type = np.uint16, bits: int = 12, side: tuple[int, int] = (HEIGHT, WIDTH)):
    """Noise around a bright or a dark middle, in so many bits."""
    height, width = side
    generator = np.random.default_rng(number)
    y, x = np.mgrid[:height, :width]
    spot = np.exp(-(((y - height / 2) / 15) ** 2) - ((x - width / 2) / 15) ** 2) * (number % 2)
    values = 0.3 + 0.1 * generator.standard_normal((height, width)) + 0.5 * spot
    return (np.clip(values, 0, 1) * (2**bits - 1)).astype(dtype)


def jpeg() -> bytes:
    pixels = jpeg_inside(HEIGHT, WIDTH)
    return as_file(dataset(xray(0, np.uint8, 8), bits=8, syntax=JPEGBaseline8Bit, PixelData=pixels))


KINDS = {
    "12 bits": dataset(xray(0)),
    "12 bits, spot": dataset(xray(1)),
    "16 bits": dataset(xray(2, bits=16), bits=16),
    "16 bits, spot": dataset(xray(3, bits=16), bits=16),
    "10 bits": dataset(xray(4, bits=10), bits=10),
    "8 bits": dataset(xray(5, np.uint8, 8), bits=8),
    "signed": dataset(xray(6, np.int16, 11), bits=12),
    "MONOCHROME1": dataset(xray(7), PhotometricInterpretation="MONOCHROME1"),
    "MONOCHROME1 of 8 bits": dataset(xray(8, np.uint8, 8), bits=8, PhotometricInterpretation="MONOCHROME1"),
    "window": dataset(xray(9), WindowCenter=1500, WindowWidth=2000),
    "narrow window": dataset(xray(10), WindowCenter=1200, WindowWidth=300),
    "sigmoid window": dataset(xray(11), WindowCenter=1500, WindowWidth=900, VOILUTFunction="SIGMOID"),
    "rescaled": dataset(xray(12), RescaleSlope=2, RescaleIntercept=-1000),
    "lookup table": dataset(
        xray(13, np.uint8, 8), bits=8, VOILUTSequence=lut(0, 8, list(range(255, -1, -1)))
    ),
    "padding": dataset(np.pad(xray(14), 9), PixelPaddingValue=0),
    "padding, MONOCHROME1": dataset(
        np.pad(xray(15), 9), PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1"
    ),
    "implicit": dataset(xray(16), syntax=ImplicitVRLittleEndian),
    "deflated": dataset(xray(17), syntax=DeflatedExplicitVRLittleEndian),
    "large": dataset(xray(18, side=(700, 900))),
    "small": dataset(xray(19, side=(20, 24))),
}


def dicom_files() -> dict[str, bytes]:
    """The files by their kinds. All of them name the patient."""
    for made in KINDS.values():
        made.PatientName = NAME
    return {kind: as_file(made) for kind, made in KINDS.items()} | {"JPEG": jpeg()}
