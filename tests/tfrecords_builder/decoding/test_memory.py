import subprocess
import sys
from pathlib import Path

import pytest

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
