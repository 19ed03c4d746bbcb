"""Damaged files: both decoders say the same of each, none crashes, and the memory stays bounded."""

import resource

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from tests.tfrecords_builder.decoding.both_decoders import in_both, in_builder
from tests.tfrecords_builder.decoding.dicom_files import as_file, dataset, jpeg_inside, lut
from tests.tfrecords_builder.decoding.mutations import mutated
from tests.tfrecords_builder.image_files import image_files
from tfrecords_builder.decoding import FORMATS, MAX_PIXELS
from tfrecords_builder.decoding.formats import MAX_BYTES_PER_PIXEL
from tfrecords_builder.decoding.reduction import FACTORS

FEW, MANY = 60, 2000
SIZE = (50, 67)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def peak_memory() -> int:
    """Most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def damaged_files(files: list[bytes], count: int, seed: int):
    generator = np.random.default_rng(seed)
    for number in range(count):
        yield mutated(files[number % len(files)], generator)


def files_of(file_format: str) -> list[bytes]:
    return [encoded for kind, encoded in image_files(*SIZE).items() if file_format.lower() in kind]


def compare(file_format: str, count: int, seed: int, smallest_side: int | None = None) -> None:
    before, num_refused = peak_memory(), 0
    for encoded in damaged_files(files_of(file_format), count, seed):
        num_refused += isinstance(in_both(encoded, smallest_side), str)
    assert count / 10 < num_refused < count
    assert peak_memory() - before < MAX_BYTES_PER_PIXEL * MAX_PIXELS


@pytest.mark.parametrize("file_format", FORMATS)
def test_both_decoders_say_the_same_of_damaged_files(file_format):
    compare(file_format, FEW, seed=0)


@pytest.mark.parametrize("factor", FACTORS)
def test_so_they_do_if_jpegs_are_reduced(factor):
    compare("JPEG", FEW, seed=0, smallest_side=SIZE[0] // factor)


@pytest.mark.slow
@pytest.mark.parametrize("factor", FACTORS)
def test_so_they_do_if_thousands_are_reduced(factor):
    compare("JPEG", MANY, seed=1, smallest_side=SIZE[0] // factor)


@pytest.mark.slow
@pytest.mark.parametrize("file_format", FORMATS)
def test_both_decoders_say_the_same_of_thousands_of_damaged_files(file_format):
    compare(file_format, MANY, seed=1)


def dicom_files() -> list[bytes]:
    """DICOM in every transfer syntax that is read, with every element that changes the pixels."""
    levels = np.random.default_rng(0).integers(0, 4096, (80, 70), np.uint16)
    made = [
        dataset(levels, WindowCenter=[2000, 100], WindowWidth=[2001, 50], PixelPaddingValue=0),
        dataset(levels * 16, HighBit=15, RescaleSlope="2", RescaleIntercept="-1024", PixelPaddingValue=7),
        dataset(
            levels.view(np.int16), PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"
        ),
        dataset(
            levels, VOILUTSequence=lut(0, 12, list(range(4096))), ModalityLUTSequence=lut(0, 12, [5] * 4096)
        ),
        dataset(np.zeros((64, 48), np.uint8), bits=8, syntax=JPEGBaseline8Bit, PixelData=jpeg_inside(64, 48)),
    ]
    for syntax in (RLELossless, JPEG2000Lossless):
        compressed = dataset(levels, WindowCenter=2000, WindowWidth=2001)
        compressed.compress(syntax)
        made.append(compressed)
    return [as_file(one) for one in made]


def decode_damaged_dicom(count: int, seed: int) -> None:
    before, num_refused = peak_memory(), 0
    for encoded in damaged_files(dicom_files(), count, seed):
        pixels = in_builder(encoded)
        if isinstance(pixels, str):
            num_refused += 1
            assert pixels
            assert "\n" not in pixels
        else:
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 2
    assert count / 10 < num_refused < count
    assert peak_memory() - before < MAX_BYTES_PER_PIXEL * MAX_PIXELS


def test_damaged_dicom_is_read_or_refused_in_one_line():
    decode_damaged_dicom(FEW, seed=0)


@pytest.mark.slow
def test_thousands_of_damaged_dicom_files_are_read_or_refused_in_one_line():
    decode_damaged_dicom(MANY, seed=1)
