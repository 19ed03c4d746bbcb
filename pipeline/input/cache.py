"""The choices of `--cache`. The module imports nothing heavy, so that command lines are parsed at once."""

from typing import Literal

Cache = Literal["auto", "ram", "none"]
"""`ram` holds a split in memory, `none` reads it from its shards, `auto` decides by the free memory."""
