"""What the pictures of all parts share: size, colours, and the way to PNG.

A picture itself is drawn in the module of its part, and shown by the template beside it.
"""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfrecords_builder.records import NORMAL, PNEUMONIA

CLASS_COLORS = {NORMAL: "#3b6fb6", PNEUMONIA: "#c8442f"}

_DOTS_PER_INCH = 110


def new_figure(width: float, height: float) -> Figure:
    """An empty picture; width and height in inches."""
    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")


def square() -> tuple[Figure, Axes]:
    """An empty square picture with one plot."""
    figure = new_figure(4.5, 4.5)
    return figure, figure.add_subplot()


def to_png(figure: Figure) -> bytes:
    """The picture as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
