"""Damaged image files, and files that are no images."""

import cv2
import numpy as np

BAD_IMAGES = {
    "a format that is not read": cv2.imencode(".webp", np.zeros((50, 50), np.uint8))[1].tobytes(),
    "no end": cv2.imencode(".jpg", np.zeros((50, 50), np.uint8))[1].tobytes()[:-2],
    "nothing": b"",
    "text": b"not an X-ray",
    "cut off": cv2.imencode(".png", np.zeros((50, 50), np.uint8))[1].tobytes()[:40],
    "zero bytes": bytes(500),
    "claims 60000 x 60000 pixels": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
    + (60000).to_bytes(4, "big") * 2
    + b"\x08\x00\x00\x00\x00"
    + bytes(500),
}


def mutated(files: list[bytes], count: int, seed: int) -> list[bytes]:
    """Copies of files in which bytes are changed, flipped, left out or repeated, or whose end is missing."""
    generator = np.random.default_rng(seed)
    return [_mutated(files[position % len(files)], generator) for position in range(count)]


def _mutated(content: bytes, generator: np.random.Generator) -> bytes:
    changed = bytearray(content)
    kind = generator.integers(5)
    if kind == 0:
        return content[: generator.integers(len(content))]
    # Headers decide what decoders do, so they are changed as often as all the rest of a file.
    reach = len(content) if generator.integers(2) else min(len(content), 100)
    for _ in range(generator.integers(1, 20)):
        at = int(generator.integers(reach))
        if kind == 1:
            changed[at % len(changed)] = generator.integers(256)
        elif kind == 2:
            changed[at % len(changed)] ^= 1 << generator.integers(8)
        elif kind == 3:
            del changed[at % len(changed) : at % len(changed) + int(generator.integers(1, 30))]
            changed = changed or bytearray(b"x")
        else:
            part = changed[at : at + int(generator.integers(1, 60))]
            changed[at:at] = part
    return bytes(changed)
