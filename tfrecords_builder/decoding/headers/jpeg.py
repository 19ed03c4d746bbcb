"""The segments of a JPEG before its pixels (ITU-T T.81, Annex B); their twin is `graph/jpeg.py`.

A segment is 0xFF, a byte that names it (the marker), its length in two bytes, and its content. As libjpeg
does, this reads on after bytes that belong to no segment.
"""

import dataclasses
import re
from collections.abc import Iterator

from tfrecords_builder.decoding import exif
from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.headers.header import Header

MARKER_START = 0xFF
FIRST_POSITION = 2
"""Position of the first segment, after the two bytes that every JPEG starts with."""
START_OF_SCAN, END_OF_IMAGE, EXIF_SEGMENT, ADOBE_SEGMENT = 0xDA, 0xD9, 0xE1, 0xEE
LAST = (START_OF_SCAN, END_OF_IMAGE)
"""Markers that end the search: the pixels follow, or there are none."""
FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
"""Markers of the segment that says the size and how the pixels are coded."""
JPEG_LS_FRAME = 0xF7
READ_FRAMES = (0xC0, 0xC1, 0xC2)
"""Those that are read: baseline, extended sequential and progressive, all with Huffman coding."""
PROGRESSIVE = 0xC2
WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
"""Markers that no length follows."""

PASSED_OVER = (0x01, 0xDC, *range(0xE0, 0xF0), 0xFE)
"""Markers of segments that say nothing about the pixels before them."""
AMONG_PIXELS = (0x00, *range(0xD0, 0xD8), MARKER_START)
"""Bytes after MARKER_START among pixels that are no marker, and the markers of restarts."""
_MARKER = re.compile(rb"\xff[^%b]" % re.escape(bytes(AMONG_PIXELS)))
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_USES_RESTARTS = b"\xff\xdd\0\4"

READ_COMPONENTS = (1, 3, 4)
"""Numbers of components that are read: gray, color, and CMYK or YCCK."""
CMYK_COMPONENTS = 4
BITS = 8
"""Bits per sample that are read."""

MAX_STEPS = 1000
"""Most segments, and bytes that belong to none, before the pixels. It bounds the work of the served model."""
MAX_SCANS = 100
"""Most passes over the pixels: a small file may ask for thousands, and each takes as long as an image."""

HEAD_BYTES = 10
"""Bytes of a segment that decide everything: marker, length, and EXIF's mark or the fields of the frame."""


@dataclasses.dataclass(frozen=True)
class JpegHeader(Header):
    """What the segments before the pixels say."""

    is_cmyk: bool = False
    """Whether the colors are stored as CMYK, or as YCCK, which decoders turn into CMYK."""
    has_inverted_inks: bool = False
    """Whether a CMYK image stores 255 for no ink, as Adobe's programs do."""
    orientation: int = exif.UPRIGHT
    """Orientation by EXIF, 1 (upright) to 8."""
    pixels: int = 0
    """Position of the compressed pixels."""
    has_one_scan: bool = True
    """Whether one pass over the pixels gives all of them, so that decoders stop after it."""


def read(encoded: bytes) -> JpegHeader:
    """Reads the segments of a JPEG up to its pixels.

    Raises:
        UnreadableImage: if the file is cut off, or is a kind of JPEG that is not read.
    """
    frame, directory, is_adobe = None, None, False
    for position, marker, head in _segments(encoded):
        if marker in FRAMES and frame is None:
            frame = head
        if marker == EXIF_SEGMENT and head[4:] == exif.MARK and directory is None:
            directory = position + HEAD_BYTES
        is_adobe |= marker == ADOBE_SEGMENT and head[4:].startswith(b"Adobe")
    if frame is None or marker != START_OF_SCAN:
        raise UnreadableImage("JPEG without pixels")
    _check_kind(frame)
    header = JpegHeader(
        "JPEG",
        width=int.from_bytes(frame[7:9], "big"),
        height=int.from_bytes(frame[5:7], "big"),
        is_cmyk=frame[9] == CMYK_COMPONENTS,
        has_inverted_inks=is_adobe and frame[9] == CMYK_COMPONENTS,
        orientation=exif.UPRIGHT if directory is None else exif.read(encoded, directory),
        pixels=position + _step(head, marker),
        has_one_scan=frame[1] != PROGRESSIVE and head[4] >= frame[9],
    )
    _check_scans(encoded, header)
    return header


def claimed_size(encoded: bytes) -> tuple[int, int, int] | None:
    """Returns width, height and number of components of any kind of JPEG; None if no segment says them.

    Raises:
        UnreadableImage: if the file is cut off before its pixels.
    """
    for _, marker, head in _segments(encoded):
        if marker in (*FRAMES, JPEG_LS_FRAME):
            return int.from_bytes(head[7:9], "big"), int.from_bytes(head[5:7], "big"), head[9]
    return None


def _segments(encoded: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Gives position, marker and first bytes of the segments up to one of LAST.

    Raises:
        UnreadableImage: if the file ends before that, or has more than MAX_STEPS segments.
    """
    position = FIRST_POSITION
    for _ in range(MAX_STEPS):
        if position >= len(encoded):
            raise UnreadableImage("JPEG that is cut off before its pixels")
        head = encoded[position : position + HEAD_BYTES].ljust(HEAD_BYTES, b"\0")
        marker = _marker(head)
        yield position, marker, head
        if marker in LAST:
            return
        position += _step(head, marker)
    raise UnreadableImage(f"JPEG with more than {MAX_STEPS} segments before its pixels")


def _marker(head: bytes) -> int:
    """Returns the marker of the segment that starts with `head`; 0 if no segment starts there."""
    return 0 if head[0] != MARKER_START or head[1] == MARKER_START else head[1]


def _step(head: bytes, marker: int) -> int:
    """Returns how many bytes it is to the next segment, or to the pixels."""
    if marker in WITHOUT_LENGTH:
        return 2
    if marker:
        return 2 + max(2, int.from_bytes(head[2:4], "big"))
    return 1


def _check_kind(frame: bytes) -> None:
    """Refuses the kinds of JPEG that TensorFlow does not read."""
    marker, bits, components = frame[1], frame[4], frame[9]
    if marker not in READ_FRAMES:
        raise UnreadableImage(
            f"JPEG of the kind SOF{marker - READ_FRAMES[0]}: expected SOF0 to SOF2 (baseline, extended or "
            "progressive, with Huffman coding); convert the image to PNG"
        )
    if bits != BITS:
        raise UnreadableImage(f"JPEG with {bits} bits per sample: expected {BITS}; convert the image to PNG")
    if components not in READ_COMPONENTS:
        raise UnreadableImage(f"JPEG with {components} components: expected 1, 3 or 4")


def _check_scans(encoded: bytes, header: JpegHeader) -> None:
    """Refuses pixels without an end, and more passes over them than MAX_SCANS.

    Without an end, TensorFlow's decoder gives up and others make up the rest.
    """
    end, start = bytes([MARKER_START, END_OF_IMAGE]), bytes([MARKER_START, START_OF_SCAN])
    if header.has_one_scan:
        has_end = encoded.endswith(end) or _first_marker(encoded, header.pixels)[0] == END_OF_IMAGE
    else:
        has_end = encoded.find(end, header.pixels) >= 0
        if encoded.count(start, header.pixels) >= MAX_SCANS:
            raise UnreadableImage(f"JPEG with more than {MAX_SCANS} scans")
    if not has_end:
        raise UnreadableImage("JPEG without its end marker: the file is cut off")


def has_readable_end(encoded: bytes, header: JpegHeader) -> bool:
    """Whether libjpeg reads on from the pixels to the end of the image without an error."""
    position = header.pixels
    while header.has_one_scan:
        marker, position = _first_marker(encoded, position)
        if marker in (0, END_OF_IMAGE):
            break
        is_swallowed = marker < READ_FRAMES[0] and _has_restart(encoded, header.pixels, position + 2)
        if marker not in PASSED_OVER and not is_swallowed:
            return False
        position += 2 if is_swallowed else _step(encoded[position : position + HEAD_BYTES], marker)
        if position > len(encoded):
            return False
    return True


def _has_restart(encoded: bytes, pixels: int, position: int) -> bool:
    """Whether decoders look for the marker of a restart after a position, and pass over others before it."""
    return _USES_RESTARTS in encoded[:pixels] and _RESTART.search(encoded, position) is not None


def _first_marker(encoded: bytes, position: int) -> tuple[int, int]:
    """Finds the first marker after a position that may not be among pixels.

    Returns:
        The marker, 0 if there is none, and its position.
    """
    found = _MARKER.search(encoded, position)
    return (found[0][1], found.start()) if found else (0, len(encoded))
