"""Damages files at random, for fuzzing."""

import struct
import zlib

import numpy as np

HEADER_BYTES = 700  # which steer decoders: they are hit as often as all the rest


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    """A file that is cut off, or has bytes changed, left out, doubled, or added after it."""
    kind = generator.integers(8)
    if kind == 0:
        return content[: generator.integers(len(content))]
    if kind == 1:
        return content + generator.bytes(int(generator.integers(1, 200)))
    if kind == 2:
        return content[: generator.integers(len(content))] + generator.bytes(int(generator.integers(1, 200)))
    damaged = bytearray(content)
    reach = len(content) if generator.integers(2) else min(len(content), HEADER_BYTES)
    for _ in range(int(generator.integers(1, 6))):
        _damage(damaged, int(generator.integers(reach)) % max(len(damaged), 1), int(kind), generator)
    is_png = content.startswith(b"\x89PNG")
    return with_right_checksums(bytes(damaged)) if is_png and generator.integers(4) else bytes(damaged)


def _damage(content: bytearray, place: int, kind: int, generator: np.random.Generator) -> None:
    if kind == 3:
        content[place : place + 1] = bytes([generator.integers(256)])
    elif kind == 4:
        content[place : place + 1] = bytes([content[place] ^ 1 << generator.integers(8)] if content else [])
    elif kind == 5:
        del content[place : place + int(generator.integers(1, 30))]
    elif kind == 6:
        content[place:place] = content[place : place + int(generator.integers(1, 60))]
    else:
        number = int(generator.choice([0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF]))
        content[place : place + 4] = number.to_bytes(4, "big" if generator.integers(2) else "little")


def with_right_checksums(png: bytes) -> bytes:
    """The same PNG with checksums that fit: otherwise they hide all other damage from the decoders."""
    repaired, position = bytearray(png), 8
    while position + 12 <= len(repaired):
        end = position + 12 + struct.unpack(">I", repaired[position : position + 4])[0]
        if end > len(repaired):
            break
        repaired[end - 4 : end] = struct.pack(">I", zlib.crc32(repaired[position + 4 : end - 4]))
        position = end
    return bytes(repaired)
