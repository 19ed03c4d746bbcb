"""The images in the forms that the peers read."""

import dataclasses
from pathlib import Path

INPUT_GROUP = "peers' input"
STEP_GROUP = "peers' training step"


@dataclasses.dataclass(frozen=True)
class PeerInput:
    """The same images in several forms."""

    raw: list[Path]
    """Shards of raw records."""
    side: int
    """Side of the images, in pixels."""
    originals: str
    """Folder of JPEG files of original size, with one folder per class."""
    small: str
    """Folder of JPEG files of side `side`, with one folder per class."""
    scratch: Path
    """An empty folder for other files of a peer."""
    batch_size: int
