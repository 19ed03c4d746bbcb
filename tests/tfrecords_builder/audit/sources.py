"""What the tests of the audit look up in a source folder."""

from pathlib import Path

import numpy as np
from PIL import Image


def first(folder: Path, place: str) -> Path:
    """The first file of a folder."""
    return min((folder / place).iterdir())


def gray(path: Path) -> np.ndarray:
    """The pixels of an image, uint8 (height, width)."""
    return np.array(Image.open(path).convert("L"))


def sources(group) -> set[str]:
    """The paths of the images of a group."""
    return {image.source for image in group.images}
