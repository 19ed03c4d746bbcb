"""The lung finder: a small network that draws the lungs of a chest X-ray, for `--lungs auto`.

`find_lungs` runs it with OpenCV. `python -m tfrecords_builder.lungs.train` trained it; docs/lung-finder.md
says on what, and how well it does.
"""

from tfrecords_builder.lungs.finder import find_lungs

__all__ = ["find_lungs"]
