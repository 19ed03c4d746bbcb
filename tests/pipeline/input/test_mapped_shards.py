import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipeline.input.mapped_shards import MappedShards, Places, decode

SIDE = 32


@pytest.fixture(scope="module")
def xrays():
    """Smooth gray images (count, SIDE, SIDE), which JPEG keeps well."""
    coarse = np.random.default_rng(5).integers(0, 256, (6, 4, 4), dtype=np.uint8)
    return np.stack([cv2.resize(c, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for c in coarse])


def as_field(value: bytes) -> bytes:
    """Bytes as an example holds them."""
    return tf.train.BytesList(value=[value]).SerializeToString()


def places(encoded: list[bytes], positions: list[int]) -> Places:
    """Where records are whose shard holds little but these images, one after the other."""
    index, shard = [], b""
    for image in encoded:
        field = as_field(image)
        index += [2 * (len(shard) + len(field) - len(image)), len(image)]
        shard += field
    shard, numbers = memoryview(shard), memoryview(np.array(index, np.uint64).tobytes())
    return MappedShards([shard], [numbers], [0], [len(encoded)]).locate(np.array(positions))


def encoded_as(kind, images, *options):
    return [cv2.imencode(f".{kind}", image, options)[1].tobytes() for image in images]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("png", ()),
        ("jpeg", (cv2.IMWRITE_JPEG_QUALITY, 95)),
        ("jpeg", (cv2.IMWRITE_JPEG_QUALITY, 40, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    ],
)
def test_pixels_are_those_that_opencv_decodes(xrays, kind, options):
    encoded = encoded_as(kind, xrays, *options)
    expected = [cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE) for image in encoded]
    positions = [4, 0, 5, 2]
    batch = np.empty((4, SIDE, SIDE, 1), np.uint8)

    decode(places(encoded, positions), batch)

    np.testing.assert_array_equal(batch[..., 0], np.stack(expected)[positions])


@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((SIDE, SIDE), 0.5),
        ((SIDE, SIDE), 0.02),
        ((SIDE, SIDE), 0),
        ((SIDE // 2, SIDE // 2), 1),
        ((SIDE * 2, SIDE * 2), 1),
        ((SIDE * 2, SIDE // 2), 1),
    ],
)
def test_a_damaged_image_or_one_of_another_size_is_refused_by_its_number(xrays, kind, shape, kept):
    good = encoded_as(kind, xrays[:2])
    (other,) = encoded_as(kind, [cv2.resize(xrays[2], shape[::-1])])
    records = places([*good, other[: int(len(other) * kept)]], [1, 2])

    with pytest.raises(ValueError, match=f"record 2 is no image of {SIDE}x{SIDE} pixels"):
        decode(records, np.empty((2, SIDE, SIDE, 1), np.uint8))


def test_records_are_found_in_any_part_of_several_shards():
    """Two shards; this host begins with the second record of the first one."""
    parts = [[b"aa", b"bbb"], [b"cc", b"d", b"mask"]]
    shards = [memoryview(b"".join(map(as_field, part))) for part in parts]  # 2 bytes are before each part
    indexes = [[(2, 0, 2, 0), (6, 1, 3, 0)], [(2, 1, 2, 0), (6, 0, 1, 3)]]
    numbers = [
        np.array(
            [[2 * begin + label, size | (lungs << 32)] for begin, label, size, lungs in index], np.uint64
        )
        for index in indexes
    ]
    mapped = MappedShards(shards, [memoryview(index.tobytes()) for index in numbers], [1, 0], [1, 2])

    found = mapped.locate(np.array([2, 0, 1, 2]))

    assert [bytes(image) for image in found.images()] == [b"d", b"bbb", b"cc", b"d"]
    np.testing.assert_array_equal(found.labels, np.array([0, 1, 1, 0], np.float32))
    assert [bytes(mask) for mask in found.masks(4)] == [b"mask", b"", b"", b"mask"]
    with pytest.raises(ValueError, match="record 2 has no lung mask of 5 bytes"):
        list(found.masks(5))
