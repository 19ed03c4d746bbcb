import cv2
import numpy as np
import pytest

from pipeline.input.mapped_shards import MappedShards

SIDE = 32


@pytest.fixture(scope="module")
def xrays():
    """Smooth gray images (count, SIDE, SIDE), which JPEG keeps well."""
    coarse = np.random.default_rng(5).integers(0, 256, (6, 4, 4), dtype=np.uint8)
    return np.stack([cv2.resize(c, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for c in coarse])


def mapped(encoded):
    """Records with these bytes for images, one after the other in a single shard."""
    ends = np.cumsum([len(image) for image in encoded]).tolist()
    return MappedShards(
        (memoryview(b"".join(encoded)),),
        [0] * len(encoded),
        list(zip([0, *ends[:-1]], ends, strict=True)),
        [(0, 0)] * len(encoded),
        np.zeros(len(encoded), np.float32),
    )


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
    positions = np.array([4, 0, 5, 2])
    batch = np.empty((4, SIDE, SIDE, 1), np.uint8)

    mapped(encoded).decode(positions, batch)

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
    records = mapped([*good, other[: int(len(other) * kept)]])

    with pytest.raises(ValueError, match=f"record 2 is no image of {SIDE}x{SIDE} pixels"):
        records.decode(np.array([1, 2]), np.empty((2, SIDE, SIDE, 1), np.uint8))
