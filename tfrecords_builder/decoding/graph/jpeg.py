"""Decodes a JPEG in the graph; `headers/jpeg.py` and `exif.py` describe what it reads."""

import functools
from typing import NamedTuple

import tensorflow as tf

from tfrecords_builder.decoding import exif
from tfrecords_builder.decoding.formats import MAX_PIXELS
from tfrecords_builder.decoding.graph.calls import rarely_called
from tfrecords_builder.decoding.graph.pixels import DecodedInGraph, luma, upright
from tfrecords_builder.decoding.graph.text import bytes_at, length, require
from tfrecords_builder.decoding.headers import jpeg as header
from tfrecords_builder.decoding.reduction import FACTORS

_WINDOW = 1024  # bytes: the segments of most JPEGs without EXIF fit into one window
_PLACES = _WINDOW - header.HEAD_BYTES  # where a segment may begin that is read in the same window
_SEGMENTS_PER_WINDOW = 12
_NOWHERE = 1 << 30  # a position after the end of every file

_EXIF_HEAD = [header.MARKER_START, header.EXIF_SEGMENT, 0, 0, *exif.MARK]
_IS_LENGTH = [place in (2, 3) for place in range(header.HEAD_BYTES)]
_HAS_LENGTH = [
    int(marker not in (0, header.MARKER_START, *header.WITHOUT_LENGTH, *header.LAST)) for marker in range(256)
]
_STEP = [  # from a segment to the next, in bytes, without the length
    0 if marker in header.LAST else 1 if marker in (0, header.MARKER_START) else 2 for marker in range(256)
]
_IS_FRAME = [marker in header.FRAMES for marker in range(256)]
_IS_READ_FRAME = [marker in header.READ_FRAMES for marker in range(256)]
_IS_READ_COMPONENTS = [number in header.READ_COMPONENTS for number in range(256)]
_END = bytes([header.MARKER_START, header.END_OF_IMAGE])


def decode(encoded: tf.Tensor, smallest_side: int | None = None) -> DecodedInGraph:
    """Decodes a JPEG.

    Args:
        encoded: scalar string tensor.
        smallest_side: as of `reduction.reduction`.

    Returns:
        The image, and whether it is smaller than the whole one.
    """
    segments = _read_segments(encoded)
    frame = tf.unstack(bytes_at(encoded, segments.frame, header.HEAD_BYTES))
    scan = tf.unstack(bytes_at(encoded, segments.position, header.HEAD_BYTES))
    is_read = _is_read(segments, frame, scan) & _is_whole(encoded, segments.position, frame, scan)
    is_cmyk = tf.equal(frame[9], header.CMYK_COMPONENTS)
    halvings = tf.where(is_cmyk, 0, _halvings(tf.minimum(*_size(frame)), smallest_side))
    problem = "the JPEG is cut off, of a kind that is not read, or larger than the limit"
    with tf.control_dependencies([require(is_read, problem)]):
        image = tf.cond(
            is_cmyk, lambda: _cmyk_pixels(encoded), lambda: _luma(encoded, halvings, smallest_side)
        )
    image = tf.cond(
        segments.exif < _NOWHERE,
        lambda: upright(image, _read_orientation(encoded, segments.exif + header.HEAD_BYTES)),
        lambda: image,
    )
    return DecodedInGraph(image, halvings > 0)


@rarely_called
def _cmyk_pixels(encoded: tf.Tensor) -> tf.Tensor:
    return luma(_pixels(encoded, channels=3))


def _halvings(side: tf.Tensor, smallest_side: int | None) -> tf.Tensor:
    """The logarithm to base 2 of what `reduction.reduction` gives for an image's smaller side, int32 ()."""
    if smallest_side is None:
        return tf.constant(0)
    return tf.math.count_nonzero(side >= [factor * smallest_side for factor in FACTORS], dtype=tf.int32)


def _luma(encoded: tf.Tensor, halvings: tf.Tensor, smallest_side: int | None) -> tf.Tensor:
    """The stored luma of the image, halved so often."""
    if smallest_side is None:
        return _pixels(encoded, channels=1)
    decoders = [functools.partial(_pixels, encoded, channels=1, factor=factor) for factor in (1, *FACTORS)]
    return tf.switch_case(halvings, decoders)


def _pixels(encoded: tf.Tensor, channels: int, factor: int = 1) -> tf.Tensor:
    return tf.image.decode_jpeg(encoded, channels, ratio=factor, dct_method="INTEGER_ACCURATE")


class _Segments(NamedTuple):
    """What the segments before the pixels say, as scalars."""

    steps: tf.Tensor
    """Number of segments so far, and of bytes that belong to none, int32."""
    position: tf.Tensor
    """Position of the next segment, int32."""
    is_last: tf.Tensor
    """Whether that is the last one that is read, bool."""
    frame: tf.Tensor
    """Position of the first segment that says the size, int32; _NOWHERE or more if there is none."""
    exif: tf.Tensor
    """Position of the first segment with EXIF, int32; _NOWHERE or more if there is none."""


def _read_segments(encoded: tf.Tensor) -> _Segments:
    """Does what the loop of `headers.jpeg.read` does."""
    nowhere = tf.constant(_NOWHERE)
    start = _Segments(
        tf.constant(0), tf.constant(header.FIRST_POSITION), tf.constant(False), nowhere, nowhere
    )
    first = _read_window(encoded, start)
    rest = rarely_called(lambda: _read_windows(encoded, first))
    return tf.cond(first.is_last, lambda: first, rest)


def _read_windows(encoded: tf.Tensor, segments: _Segments) -> _Segments:
    size = length(encoded)

    def has_more(segments: _Segments) -> tf.Tensor:
        return ~segments.is_last & (segments.steps < header.MAX_STEPS) & (segments.position < size)

    def read(segments: _Segments) -> tuple[_Segments]:
        return (_read_window(encoded, segments),)

    return tf.while_loop(has_more, read, (segments,), parallel_iterations=1)[0]


def _read_window(encoded: tf.Tensor, segments: _Segments) -> _Segments:
    """Reads the segments of a window that begins with the next segment.

    For every byte of the window, it computes where the next segment would begin if one began there, and then
    looks up one place after the other: a loop over segments takes four times as long.
    """
    window = bytes_at(encoded, segments.position, _WINDOW)
    places, targets = _follow(window)
    heads = tf.gather(window, places[:, None] + tf.range(header.HEAD_BYTES))
    is_inside = places < _PLACES
    last = tf.reduce_max(tf.where(is_inside, places, 0))
    after_last = tf.gather(targets, last)
    is_frame = tf.equal(heads[:, 0], header.MARKER_START) & tf.gather(_IS_FRAME, heads[:, 1])
    is_exif = tf.reduce_all(tf.equal(heads, _EXIF_HEAD) | _IS_LENGTH, axis=1)
    moves = tf.not_equal(tf.gather(targets, places), places)

    def first(found: tf.Tensor) -> tf.Tensor:
        return segments.position + tf.reduce_min(tf.where(found & is_inside, places, _NOWHERE))

    return _Segments(
        steps=segments.steps + tf.math.count_nonzero(moves, dtype=tf.int32),
        position=segments.position + after_last,
        is_last=tf.equal(after_last, last),
        frame=tf.minimum(segments.frame, first(is_frame)),
        exif=tf.minimum(segments.exif, first(is_exif)),
    )


def _follow(window: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Follows the segments of a window.

    Args:
        window: int32 (_WINDOW,), bytes.

    Returns:
        The places of the first segments, int32 (_SEGMENTS_PER_WINDOW,): the last one again and again where
        there are no more, and _PLACES for one that is not in the window. And for every place the next
        segment, int32 (_PLACES + 1,): the same place for the last segment.
    """
    begin, marker, high, low = (window[offset : _PLACES + offset] for offset in range(4))
    after_marker = tf.gather(_HAS_LENGTH, marker) * tf.maximum(2, 256 * high + low)
    step = tf.where(tf.equal(begin, header.MARKER_START), tf.gather(_STEP, marker) + after_marker, 1)
    targets = tf.concat([tf.range(_PLACES) + step, [_PLACES]], axis=0)
    inside = tf.minimum(targets, _PLACES)
    places = [tf.constant(0)]
    for _ in range(_SEGMENTS_PER_WINDOW - 1):
        places.append(tf.gather(inside, places[-1]))
    return tf.stack(places), targets


def _is_read(segments: _Segments, frame: list[tf.Tensor], scan: list[tf.Tensor]) -> tf.Tensor:
    """Whether there are pixels, of a kind that is read, and not too many; libjpeg checks each side."""
    has_pixels = (
        tf.equal(scan[0], header.MARKER_START)
        & tf.equal(scan[1], header.START_OF_SCAN)
        & (segments.steps < header.MAX_STEPS)
        & (segments.frame < segments.position)
    )
    is_kind = (
        tf.gather(_IS_READ_FRAME, frame[1])
        & tf.equal(frame[4], header.BITS)
        & tf.gather(_IS_READ_COMPONENTS, frame[9])
    )
    height, width = _size(frame)
    return has_pixels & is_kind & (tf.cast(height, tf.int64) * tf.cast(width, tf.int64) <= MAX_PIXELS)


def _size(frame: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width of the whole image, int32 ()."""
    return 256 * frame[5] + frame[6], 256 * frame[7] + frame[8]


def _is_whole(
    encoded: tf.Tensor, position: tf.Tensor, frame: list[tf.Tensor], scan: list[tf.Tensor]
) -> tf.Tensor:
    """Whether `headers.jpeg` finds an end of the pixels, and not too many passes over them."""
    is_single = tf.not_equal(frame[1], header.PROGRESSIVE) & (scan[4] >= frame[9])
    ends = tf.equal(tf.strings.substr(encoded, -len(_END), len(_END)), _END)

    @rarely_called
    def is_whole() -> tf.Tensor:
        pixels = _after(encoded, position + 2 + tf.maximum(2, 256 * scan[2] + scan[3]))
        return tf.cond(
            is_single, lambda: _is_end_first_marker(pixels), lambda: _has_end_and_few_scans(pixels)
        )

    return tf.cond(is_single & ends, lambda: True, is_whole)


def _is_end_first_marker(pixels: tf.Tensor) -> tf.Tensor:
    stored = tf.io.decode_raw(pixels, tf.uint8)
    starts = tf.where(tf.equal(stored[:-1], header.MARKER_START))[:, 0]
    after_start = tf.gather(stored, starts + 1)
    is_marker = tf.gather(
        [byte not in header.AMONG_PIXELS for byte in range(256)], tf.cast(after_start, tf.int32)
    )
    markers = tf.boolean_mask(after_start, is_marker)
    return tf.equal(tf.concat([markers, [0]], axis=0)[0], header.END_OF_IMAGE)


def _has_end_and_few_scans(pixels: tf.Tensor) -> tf.Tensor:
    def count(marker: int, most: int) -> tf.Tensor:
        mark = bytes([header.MARKER_START, marker])
        return tf.size(tf.raw_ops.StringSplitV2(input=[pixels], sep=mark, maxsplit=most).values) - 1

    most = header.MAX_SCANS  # with the first, whose marker is before the pixels
    return (count(header.END_OF_IMAGE, 1) > 0) & (count(header.START_OF_SCAN, most) < most)


def _after(encoded: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    size = length(encoded)
    return tf.strings.substr(encoded, tf.minimum(position, size), size)


@rarely_called
def _read_orientation(encoded: tf.Tensor, tiff: tf.Tensor) -> tf.Tensor:
    """Does what `exif.read` does; returns int32."""
    tiff = tf.cast(tiff, tf.int64)
    head = bytes_at(encoded, tiff, 8)
    is_big, is_little = (tf.reduce_all(tf.equal(head[:4], list(magic))) for magic in exif.BYTE_ORDERS)
    weights = tf.constant([1 << 8 * place for place in range(4)], tf.int64)

    def number(digits: tf.Tensor) -> tf.Tensor:
        digits = tf.where(is_big, digits[::-1], digits)
        return tf.reduce_sum(tf.cast(digits, tf.int64) * weights[: digits.shape[0]])

    directory = tiff + number(head[4:])
    num_fields = number(bytes_at(encoded, directory, 2))
    fields = bytes_at(encoded, directory + 2, exif.MAX_FIELDS * exif.FIELD_BYTES)
    fields = tf.reshape(fields, (exif.MAX_FIELDS, exif.FIELD_BYTES))
    big, little = (list(exif.TAGS[order]) for order in exif.BYTE_ORDERS.values())
    found = tf.reduce_all(tf.equal(fields[:, : len(big)], tf.where(is_big, big, little)), axis=1)
    found &= tf.range(exif.MAX_FIELDS, dtype=tf.int64) < num_fields
    orientation = number(fields[tf.argmax(found)][len(big) : len(big) + 2])
    is_valid = (
        tf.reduce_any(found) & (is_big | is_little) & (orientation >= 1) & (orientation <= exif.LARGEST)
    )
    return tf.where(is_valid, tf.cast(orientation, tf.int32), exif.UPRIGHT)
