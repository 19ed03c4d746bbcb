"""How options of several commands appear in `--help`."""

from typing import Any

import tyro


def optional(metavar: str, **settings: Any) -> Any:
    """An option that may be left out, without the `(default: None)` that tyro would write behind its help.

    Its help says what happens if it is left out, unless that is plain.

    Args:
        metavar: what stands for the value in the help, as in FILE.
        **settings: other arguments of `tyro.conf.arg`.
    """
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="", **settings)
