"""The choices of `--cache`. This module imports nothing heavy, so that command lines can be parsed at once."""

from typing import Literal

Cache = Literal["auto", "ram", "none"]
"""`ram` holds a split in memory, `none` reads it from its shards, `auto` decides by the memory that is free."""
