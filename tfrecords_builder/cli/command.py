"""What every command shares: its parsing, its logging, and the exit code of a user's mistake."""

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import tyro

ConfigT = TypeVar("ConfigT")

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it

_BOX = "╭╮╰╯│─ \n"


class UserError(Exception):
    """A mistake that the user can mend.

    Its message is one line that says what was received, what was expected and what to do. A command
    prints it on stderr and exits with code 2.
    """


def run(main: Callable[[ConfigT], int | None], config: type[ConfigT], command: str) -> NoReturn:
    """Parses the command line into `config`, calls `main` with it and exits.

    Args:
        main: the command; returns its exit code, or None for 0.
        config: a frozen dataclass; its fields are the command's arguments, its docstrings the help.
        command: how the user calls it, as in `python -m pipeline.train`.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    logging.captureWarnings(True)
    for talkative in ("absl", "httpx", "matplotlib", "py.warnings"):
        logging.getLogger(talkative).setLevel(logging.ERROR)
    try:
        sys.exit(main(parse(config, command)))
    except UserError as error:
        sys.stderr.write(f"{command}: {error}\n")
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        sys.stderr.write(f"{command}: interrupted\n")
        sys.exit(EXIT_INTERRUPTED)


def parse(config: type[ConfigT], command: str, args: Sequence[str] | None = None) -> ConfigT:
    """Parses `args` (None: the process's own) into a `config`.

    Raises:
        UserError: for arguments that do not fit, in one line.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(config, prog=command, args=args)
    except ValueError as error:  # of a nested dataclass: tyro only explains those of the outermost
        raise UserError(f"{error} (see {command} --help)") from None
    except SystemExit as stop:
        if stop.code == 0:  # --help
            raise
        raise UserError(f"{_one_line(complaint.getvalue())} (see {command} --help)") from None


def _one_line(box: str) -> str:
    """The first paragraph of tyro's framed complaint, without the frame."""
    lines = [line.strip(_BOX) for line in box.splitlines()[1:]]
    paragraph = lines[: lines.index("")] if "" in lines else lines
    return " ".join(line for line in paragraph if line) or box.strip(_BOX)
