"""What the peers read."""

import dataclasses
from pathlib import Path

INPUT_GROUP = "peers' input"
STEP_GROUP = "peers' training step"


@dataclasses.dataclass(frozen=True)
class PeerInput:
    """The same images in the forms that the peers take."""

    raw: list[Path]
    """TFRecords of raw pixels."""
    records: int
    side: int
    originals: str
    """JPEG files of original size, one folder a class."""
    small: str
    """JPEG files of `side` pixels, one folder a class."""
    scratch: Path
    """An empty folder for what the peer needs besides."""
    batch_size: int
