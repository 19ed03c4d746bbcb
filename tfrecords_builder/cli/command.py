"""What all commands share: how they parse options, log, and end when the user made a mistake."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import tyro

from tfrecords_builder.cli import help_text, startup
from tfrecords_builder.cli.complaint import one_line
from tfrecords_builder.errors import UserError, describe_file_error

ConfigT = TypeVar("ConfigT")

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE

_QUIET_LOGGERS = ("absl", "httpx", "matplotlib", "py.warnings")


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
    run_with(main, lambda: parse(config, command), command, load=load)


def run_with(
    main: Callable[[ConfigT], int | None],
    make_config: Callable[[], ConfigT],
    command: str,
    *,
    load: Callable[[], None] | None = None,
) -> NoReturn:
    """Calls `main` with the settings that a function returns, as `run` does, and exits.

    Args:
        main: as for `run`.
        make_config: returns the settings.
        command: begins the line of an error.
        load: as for `run`.
    """
    _prepare_streams()
    startup.set_native_defaults()
    try:
        sys.exit(_flushed(_exit_code(main, make_config, load)))
    except BrokenPipeError:  # the reader of stdout has ended, as `head` does
        _discard_stdout()
        sys.exit(EXIT_BROKEN_PIPE)
    except KeyboardInterrupt:
        _end(f"{command}: interrupted", EXIT_INTERRUPTED)
    except UserError as error:
        _end(f"{command}: {error}", EXIT_USER_ERROR)
    except Exception as error:
        line = describe_file_error(error)
        if line is None:
            raise
        _end(f"{command}: {line}", EXIT_USER_ERROR)


def _prepare_streams() -> None:
    """Sets up logging, and streams that take any text, such as a file name that is not UTF-8."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - None if the shell closed it
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    logging.captureWarnings(True)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


def _exit_code(
    main: Callable[[ConfigT], int | None],
    make_config: Callable[[], ConfigT],
    load: Callable[[], None] | None,
) -> int:
    try:
        parsed = make_config()
        if load is not None:
            load()
        return main(parsed) or 0
    except SystemExit as stop:  # of --help, or of rich's tables when the reader of stdout has ended
        return EXIT_BROKEN_PIPE if stop.code else 0


def _flushed(code: int) -> int:
    """Writes what stdout still holds, while an error can be told from success; returns the code."""
    try:
        sys.stdout.flush()
    except OSError as error:
        error.filename = error.filename or "stdout"
        raise
    return code


def _end(line: str, code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except OSError:
        _discard_stdout()
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}\n")
    sys.exit(code)


def _discard_stdout() -> None:
    """Sends what stdout still holds to nowhere; otherwise Python would complain about it as it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse(config: type[ConfigT], command: str, args: Sequence[str] | None = None) -> ConfigT:
    """Parses `args` (None: the arguments of this process) into a `config`.

    Raises:
        UserError: for options that do not fit; the message is one line.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint), help_text.wrapped():
            return tyro.cli(config, prog=command, args=args)
    except ValueError as error:  # of a nested dataclass: tyro only explains those of the outermost
        raise UserError(f"{error} (see {command} --help)") from None
    except SystemExit as stop:
        if stop.code == 0:  # --help
            raise
        raise UserError(f"{one_line(complaint.getvalue())} (see {command} --help)") from None
