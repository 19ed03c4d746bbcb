"""What all commands share: how they parse options, log, and end when the user made a mistake."""

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import tyro

from tfrecords_builder.errors import UserError

ConfigT = TypeVar("ConfigT")

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it

_QUIET_LOGGERS = ("absl", "httpx", "matplotlib", "py.warnings")
_FRAME = "╭╮╰╯│─ \n"


def run(
    main: Callable[[ConfigT], int | None],
    config: type[ConfigT],
    command: str,
    *,
    load: Callable[[], None] | None = None,
) -> NoReturn:
    """Parses the command line into a `config`, calls `main` with it and exits.

    Args:
        main: the command. It returns its exit code, or None for 0.
        config: a frozen dataclass. Its fields are the command's options; its docstrings are the help.
        command: how the user calls it, as in `python -m pipeline.train`.
        load: a function of `cli.startup` that loads what `main` imports. It is called after the options are
            parsed, so that `--help` and a mistake are answered at once.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    logging.captureWarnings(True)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        parsed = parse(config, command)
        if load is not None:
            load()
        sys.exit(main(parsed))
    except UserError as error:
        sys.stderr.write(f"{command}: {error}\n")
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        sys.stderr.write(f"{command}: interrupted\n")
        sys.exit(EXIT_INTERRUPTED)


def parse(config: type[ConfigT], command: str, args: Sequence[str] | None = None) -> ConfigT:
    """Parses `args` (None: the arguments of this process) into a `config`.

    Raises:
        UserError: for options that do not fit; the message is one line.
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


def _one_line(framed: str) -> str:
    """The first paragraph of tyro's framed message, without the frame."""
    lines = [line.strip(_FRAME) for line in framed.splitlines()[1:]]
    paragraph = lines[: lines.index("")] if "" in lines else lines
    return " ".join(line for line in paragraph if line) or framed.strip(_FRAME)
