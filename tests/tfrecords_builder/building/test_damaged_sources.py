"""A thousand damaged files: none stops a build, each is built or listed with a reason."""

import os
import random
import resource
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tfrecords_builder import Preprocessing
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig

COUNT = 1000
MAX_GROWTH = 300 << 10  # KiB; one image of 60000x60000 pixels takes 3,500,000
PNG_CLAIMING_60000 = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
)
ODD_NAMES = (
    "with space",
    "quote'd",
    'double"quote',
    "new\nline",
    "Röntgen-肺",
    "tab\there",
    "per%20cent",
    "-dash",
)


def truncated(draw, image):
    return image[: draw.randrange(len(image))]


def bits_flipped(draw, image):
    content = bytearray(image)
    for _ in range(draw.randrange(1, 20)):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(content)


def of_another_kind(draw, image):
    """Keeps the suffix and changes the format."""
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    return cv2.imencode(draw.choice([".png", ".bmp", ".webp", ".tiff"]), pixels)[1].tobytes()


MUTATIONS = {
    "truncated": truncated,
    "bits flipped": bits_flipped,
    "of another kind": of_another_kind,
    "zero bytes": lambda draw, image: bytes(draw.choice([0, 1, 500])),
    "claims 60000 x 60000": lambda draw, image: PNG_CLAIMING_60000 + image,
    "text": lambda draw, image: b"no X-ray, but a note\n" * 20,
    "unchanged": lambda draw, image: image,
}


@pytest.fixture(scope="module")
def damaged(source, tmp_path_factory) -> Path:
    folder = Path(shutil.copytree(source, tmp_path_factory.mktemp("damaged") / "chest_xray"))
    draw = random.Random(0)
    images = [path.read_bytes() for path in sorted((source / "train/NORMAL").iterdir())]
    target = folder / "train/NORMAL"
    for number in range(COUNT):
        mutation = draw.choice(list(MUTATIONS))
        odd = draw.choice(ODD_NAMES) if number % 5 == 0 else "plain"
        path = target / f"{number:04d} {mutation} {odd}.jpeg"
        path.write_bytes(MUTATIONS[mutation](draw, draw.choice(images)))
    (target / "link.jpeg").symlink_to("nowhere.jpeg")
    (target / "loop.jpeg").symlink_to("loop.jpeg")
    (target / "folder.jpeg").mkdir()
    (target / "unreadable.jpeg").write_bytes(images[0])
    (target / "unreadable.jpeg").chmod(0)
    os.mkfifo(target / "pipe.jpeg")
    return folder


def test_each_is_built_or_listed_with_a_reason(damaged, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    content = build(
        BuildConfig(str(damaged), str(tmp_path / "records"), Preprocessing(16, 0.1), on_error="skip")
    )

    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    left_out = {entry.source: entry.reason for entry in content.left_out}
    there = list(damaged.rglob("*.jpeg"))
    assert sum(split.records for split in content.splits.values()) + len(left_out) == len(there)
    assert all(left_out.values())
    for path in there:
        source = path.relative_to(damaged).as_posix()
        if any(
            kind in path.name for kind in ("zero bytes", "60000", "text", "link", "loop", "folder", "pipe")
        ):
            assert source in left_out
        if "unchanged" in path.name:
            assert source not in left_out
    assert grown < MAX_GROWTH
