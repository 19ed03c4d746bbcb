"""Wraps what `--help` shows to the terminal, and not as the source does.

tyro has no options for this, so two of its private functions are replaced meanwhile. The tests of the help
fail if a newer tyro lacks them.
"""

import contextlib
import re
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from tyro import _docstrings
from tyro._backends import _tyro_help_formatting

MAX_WIDTH = 100
"""Characters of the longest line of a command's description; wider lines are hard to read."""

_LINE_BREAK = re.compile(r"(?<!\n)\n(?!\n)")
_BOX = tuple("╭╰│ ")


@contextlib.contextmanager
def wrapped() -> Iterator[None]:
    """Lets tyro wrap the descriptions of commands, and of their options."""
    field_docstring, format_help = _docstrings.get_field_docstring, _tyro_help_formatting.format_help

    def joined(*arguments: Any) -> str | None:
        text = field_docstring(*arguments)
        return None if text is None else _LINE_BREAK.sub(" ", text)

    def formatted(*arguments: Any, **named: Any) -> list[str]:
        width = min(shutil.get_terminal_size().columns, MAX_WIDTH)
        return [
            line if line.startswith(_BOX) else _fill(line, width) for line in format_help(*arguments, **named)
        ]

    _docstrings.get_field_docstring = joined  # type: ignore[assignment]
    _tyro_help_formatting.format_help = formatted
    try:
        yield
    finally:
        _docstrings.get_field_docstring = field_docstring
        _tyro_help_formatting.format_help = format_help


def _fill(paragraphs: str, width: int) -> str:
    """Wraps each line; a line of this text is a paragraph."""
    lines = paragraphs.split("\n")
    return "\n".join(
        textwrap.fill(line, width, break_on_hyphens=False, break_long_words=False) for line in lines
    )
