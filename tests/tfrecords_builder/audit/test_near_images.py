import itertools
import re
import shutil

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from tests.tfrecords_builder.audit.sources import first, gray, sources
from tfrecords_builder.audit import near_images
from tfrecords_builder.audit.__main__ import AuditConfig
from tfrecords_builder.audit.measurements import perceptual_hash
from tfrecords_builder.audit.near_images import connected_groups, near_pairs
from tfrecords_builder.decoding import decode
from tfrecords_builder.source.find import find_source_images


def is_near(one: np.ndarray, other: np.ndarray) -> bool:
    bits = [np.unpackbits(np.frombuffer(perceptual_hash(pixels), np.uint8)) for pixels in (one, other)]
    return (bits[0] != bits[1]).sum() <= AuditConfig("source").near_distance


def test_altered_copies_are_near_identical(audited, folder):
    original = first(folder, "train/PNEUMONIA")
    altered = cv2.resize(cv2.add(gray(original), 15), None, fx=1.3, fy=1.3)
    copies = [folder / "val/PNEUMONIA/person7001_virus_1.jpeg", folder / "test/PNEUMONIA/again.jpeg"]
    cv2.imwrite(str(copies[0]), altered, [cv2.IMWRITE_JPEG_QUALITY, 60])
    shutil.copy(copies[0], copies[1])

    found = audited()

    (group,) = found.near.groups
    assert sources(group) == {path.relative_to(folder).as_posix() for path in (original, *copies)}
    assert group.splits == ("train", "val", "test")
    assert re.fullmatch(r"\d+ bits", group.what)
    assert int(group.what.split()[0]) <= 24
    (identical,) = found.identical.groups
    assert len(identical.images) == 2


def test_the_same_pixels_in_another_format_are_near_at_distance_zero(audited, folder):
    original = first(folder, "train/PNEUMONIA")
    Image.fromarray(gray(original)).save(folder / "train/PNEUMONIA/person1_bacteria_77.png")

    (group,) = audited(near_distance=0).near.groups

    assert group.what == "0 bits"
    assert len(group.images) == 2


def test_the_perceptual_hash_distinguishes_altered_copies_from_other_children(real_xrays):
    paths = [real_xrays / image.source for image in find_source_images(str(real_xrays)).images[::80]]
    images = [decode(path.read_bytes()) for path in paths]

    for image in images:
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
        assert is_near(image, cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE))
        assert is_near(image, cv2.resize(image, (120, 150), interpolation=cv2.INTER_AREA))
        assert is_near(image, np.rint(255 * (image / 255) ** 1.3).astype(np.uint8))
    assert not any(is_near(one, other) for one, other in itertools.pairwise(images))


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_near_pairs_are_those_that_imagehash_finds(block, monkeypatch):
    monkeypatch.setattr(near_images, "_HASHES_AT_ONCE", block)
    generator = np.random.default_rng(0)
    bits = np.repeat(generator.random((6, 256)) < 0.5, 5, axis=0) ^ (generator.random((30, 256)) < 0.06)
    expected = [
        (i, j, imagehash.ImageHash(bits[i]) - imagehash.ImageHash(bits[j]))
        for i in range(30)
        for j in range(i + 1, 30)
    ]
    expected = [pair for pair in expected if pair[2] <= 26]

    found = near_pairs(np.packbits(bits, axis=1), 26)

    assert 0 < len(expected) < 60  # of 60 pairs that have the same origin
    assert sorted(map(tuple, found.tolist())) == expected


def test_pairs_that_share_an_image_form_a_group():
    pairs = np.array([[0, 4, 3], [4, 6, 9], [1, 2, 5]])

    assert sorted(connected_groups(pairs, 8)) == [([0, 4, 6], 9), ([1, 2], 5)]
    assert connected_groups(np.zeros((0, 3), np.int64), 0) == []


def test_blank_images_are_not_near_identical(audited, folder):
    for level in (0, 100, 255):
        cv2.imwrite(str(folder / f"train/NORMAL/{level}.png"), np.full((80, 90), level, np.uint8))

    found = audited()

    assert len(found.blank) == 3
    assert found.near.groups == found.inverted == ()
