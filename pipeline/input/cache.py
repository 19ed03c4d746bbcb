"""Where the records of a split are kept while a dataset reads them."""

from typing import Literal

Cache = Literal["auto", "ram", "none"]
"""`ram` loads the split into memory, `none` reads it from its files in every epoch, `auto` loads it if there
is enough free memory."""
