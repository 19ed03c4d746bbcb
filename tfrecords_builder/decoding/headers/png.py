"""The chunks of a PNG (ISO/IEC 15948): length and name in four bytes each, content, checksum in four.

libpng, which both decoders use, checks the checksums and the compressed pixels.
"""

import dataclasses
import zlib
from collections.abc import Iterator

from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.formats import MAGIC
from tfrecords_builder.decoding.headers.header import Header

FIRST_CHUNK, FIRST_CHUNK_BYTES = b"IHDR", 13
"""Name of the first chunk of every PNG, and the length of its content."""
FIRST_POSITION = len(MAGIC["PNG"][0])
LARGEST_BIT_DEPTH = 16
"""Most bits per sample."""
GRAY_TYPES = (0, 4)
"""Color types without colors: gray, and gray with transparency."""

WRONG_CHECKSUM = "damaged PNG: the checksum of its chunk {} is wrong"

_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_BITS_OF_COLOR_TYPE = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_BYTES_AROUND_CONTENT = 12  # length, name and checksum
_LOWER_CASE = 0x20  # this bit of the first letter marks a chunk that decoders may pass over


@dataclasses.dataclass(frozen=True)
class PngHeader(Header):
    """What the chunks of a PNG say."""

    bits: int = 8
    """Bits per sample: 1, 2, 4, 8 or 16."""
    is_gray: bool = False
    """Whether it stores no colors."""
    critical: tuple[slice, ...] = ()
    """The parts of the file with the chunks that decide the pixels."""


def read(encoded: bytes) -> PngHeader:
    """Reads the header of a PNG and finds its chunks.

    Raises:
        UnreadableImage: if the file is cut off or damaged.
    """
    width, height, bits, color_type, methods = _read_first_chunk(encoded)
    if bits not in _BITS_OF_COLOR_TYPE.get(color_type, ()) or methods not in (b"\0\0\0", b"\0\0\1"):
        raise UnreadableImage(
            f"damaged PNG: it has {bits} bits of color type {color_type}, and methods {methods.hex(' ')}"
        )
    return PngHeader(
        "PNG",
        width,
        height,
        bits=bits,
        is_gray=color_type in GRAY_TYPES,
        critical=tuple(_critical_parts(encoded)),
    )


def _read_first_chunk(encoded: bytes) -> tuple[int, int, int, int, bytes]:
    begin = FIRST_POSITION + 8
    length_and_name, content = encoded[FIRST_POSITION:begin], encoded[begin : begin + FIRST_CHUNK_BYTES]
    if (
        length_and_name != FIRST_CHUNK_BYTES.to_bytes(4, "big") + FIRST_CHUNK
        or len(content) < FIRST_CHUNK_BYTES
    ):
        raise UnreadableImage("damaged PNG: it does not begin with the chunk IHDR")
    width, height = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:8], "big")
    return width, height, content[8], content[9], content[10:]


def _critical_parts(encoded: bytes) -> list[slice]:
    """Finds the parts of the file with chunks that decide the pixels.

    Raises:
        UnreadableImage: if the last chunk is missing or damaged, or a chunk has an impossible name.
    """
    parts: list[slice] = []
    for name, chunk in _chunks(encoded):
        is_critical = not name[0] & _LOWER_CASE
        if not name.isalpha() or (is_critical and name not in _CRITICAL):
            raise UnreadableImage(f"damaged PNG: it has an unknown chunk {name!r}")
        if is_critical and parts and parts[-1].stop == chunk.start:
            parts[-1] = slice(parts[-1].start, chunk.stop)
        elif is_critical:
            parts.append(chunk)
    if not _has_right_checksum(encoded, chunk):  # libpng forgives it in some versions
        raise UnreadableImage(WRONG_CHECKSUM.format("IEND"))
    return parts


def _chunks(encoded: bytes) -> Iterator[tuple[bytes, slice]]:
    """Gives the name and the place of each chunk up to the last.

    Raises:
        UnreadableImage: if the file ends before it.
    """
    position, name = FIRST_POSITION, b""
    while name != b"IEND":
        name = encoded[position + 4 : position + 8]
        end = position + _BYTES_AROUND_CONTENT + int.from_bytes(encoded[position : position + 4], "big")
        if end > len(encoded):
            raise UnreadableImage("PNG that is cut off: its last chunk IEND is missing")
        yield name, slice(position, end)
        position = end


def chunk_with_wrong_checksum(encoded: bytes) -> str:
    """Names the first chunk that decides the pixels and whose checksum is wrong; empty if all are right."""
    for name, chunk in _chunks(encoded):
        if name in _CRITICAL and not _has_right_checksum(encoded, chunk):
            return name.decode("ascii")
    return ""


def _has_right_checksum(encoded: bytes, chunk: slice) -> bool:
    checksum = int.from_bytes(encoded[chunk.stop - 4 : chunk.stop], "big")
    return zlib.crc32(encoded[chunk.start + 4 : chunk.stop - 4]) == checksum
