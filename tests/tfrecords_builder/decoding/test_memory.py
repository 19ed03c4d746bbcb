import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tfrecords_builder.decoding.both_decoders import in_both
from tests.tfrecords_builder.decoding.memory_of_decoding import KINDS, SIDE
from tfrecords_builder.decoding import MAX_PIXELS
from tfrecords_builder.decoding.formats import MAX_BYTES_PER_PIXEL

ROOT = Path(__file__).parents[3]


def program(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.tfrecords_builder.decoding.memory_of_decoding", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_images_take_no_more_memory_than_is_stated(kind, tmp_path):
    assert SIDE * SIDE == MAX_PIXELS
    file = str(tmp_path / "image")
    program("write", kind, file)

    for decoder in ("builder", *(["graph"] if kind != "dicom" else [])):
        assert int(program(decoder, file)) < MAX_BYTES_PER_PIXEL * MAX_PIXELS, decoder


@pytest.mark.slow
def test_a_webp_of_many_pixels_takes_no_memory_and_no_time(tmp_path):
    program("write", "webp", str(tmp_path / "image"))
    encoded = (tmp_path / "image").read_bytes()
    assert len(encoded) < 1_000_000
    assert in_both(encoded) == "WebP is not read: convert the image to PNG"

    begin = time.process_time()
    in_both(encoded)
    assert time.process_time() - begin < 0.5
