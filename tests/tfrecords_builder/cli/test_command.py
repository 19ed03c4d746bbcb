"""How a command parses its options, and how it ends."""

import dataclasses
import errno
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import tyro

from tfrecords_builder.cli.command import parse, run
from tfrecords_builder.cli.complaint import one_line
from tfrecords_builder.cli.options import optional
from tfrecords_builder.errors import UserError

ROOT = Path(__file__).parents[3]


@dataclasses.dataclass(frozen=True)
class NestedConfig:
    """Settings inside others."""

    size: int = 1
    """A size."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1. Received: {self.size}")


@dataclasses.dataclass(frozen=True)
class ExampleConfig:
    """An example of a command."""

    count: int = 3
    """The first line of this docstring ends
    in the middle of a sentence."""
    nested: NestedConfig = dataclasses.field(default_factory=NestedConfig)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be at least 1. Received: {self.count}")


@dataclasses.dataclass(frozen=True)
class PositionalConfig:
    """A command whose description is longer than one line of a terminal, so that it has to be wrapped there.

    It has a second paragraph.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder to
    read."""
    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")]
    """Folder to write."""
    batch_size: int = 1
    """A size."""
    overwrite: bool = False
    """A switch."""


@dataclasses.dataclass(frozen=True)
class OptionalConfig:
    """A command with an option that may be left out."""

    file: Annotated[str | None, optional("FILE")] = None
    """File to read."""
    seconds: Annotated[float | None, optional("SECONDS")] = None
    """Longest time."""
    sizes: tuple[int, ...] = (1,)
    """Sizes."""
    share: float = 0.5
    """A share."""


def ended(main, monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["example", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        run(main, ExampleConfig, "example")
    return exit_info.value.code or 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "count must be at least 1. Received: 0 (see example --help)"),
        (
            ["--nested.size", "0"],
            "size must be at least 1. Received: 0 (see example --help)",
        ),
        (["--no-such"], "Unrecognized options: --no-such (see example --help)"),
    ],
)
def test_options_that_do_not_fit_are_one_line(arguments, message):
    with pytest.raises(UserError) as error:
        parse(ExampleConfig, "example", arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "TARGET is missing: Folder to write"),
        ([], "SOURCE and TARGET are missing"),
        (["a", "b", "--batch", "3"], "Unrecognized options: --batch, 3; perhaps you meant --batch-size"),
        (["a", "b", "--overwrit"], "Unrecognized options: --overwrit; perhaps you meant --overwrite"),
        (["a", "b", "--no-such"], "Unrecognized options: --no-such"),
        (["a", "b", "c"], "Unrecognized options: c"),
        (["a", "b", "--batch-size", "x"], "--batch-size takes a whole number, not 'x'"),
    ],
)
def test_what_is_missing_or_mistyped_is_one_line_that_helps(arguments, message):
    with pytest.raises(UserError) as error:
        parse(PositionalConfig, "example", arguments)
    assert str(error.value) == f"{message} (see example --help)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--share", "half"], "--share takes a number, not 'half'"),
        (["--sizes", "3", "x"], "--sizes does not take '3', 'x'"),
        (["--seconds", "soon"], "--seconds does not take 'soon'"),
        (["--siezs", "3"], "Unrecognized options: --siezs, 3; perhaps you meant --sizes"),
        (["--run", "folder"], "Unrecognized options: --run, folder"),
    ],
)
def test_a_value_of_another_type_is_named(arguments, message):
    with pytest.raises(UserError) as error:
        parse(OptionalConfig, "example", arguments)
    assert str(error.value) == f"{message} (see example --help)"


def test_a_frame_without_box_characters_becomes_one_line_too():
    framed = """ Unrecognized options
 --------------------
  Unrecognized options: --batch, 3
  --------------------------------
  Perhaps you meant:
      --batch-size INT
          A size. (default: 1)
"""
    assert one_line(framed) == "Unrecognized options: --batch, 3; perhaps you meant --batch-size"


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("200", 100)])
def test_the_description_is_wrapped(capsys, monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit):
        parse(PositionalConfig, "example", ["--help"])
    _, description, second, *_ = capsys.readouterr().out.split("\n\n")
    assert width - 12 < max(map(len, description.splitlines())) <= width
    assert " ".join(description.splitlines()) == (PositionalConfig.__doc__ or "").partition("\n")[0]
    assert second == "It has a second paragraph."


def test_an_option_that_may_be_left_out_has_no_default_in_the_help(capsys):
    with pytest.raises(SystemExit):
        parse(OptionalConfig, "example", ["--help"])
    shown = capsys.readouterr().out
    assert "--file FILE" in shown
    assert "None" not in shown


def test_the_help_wraps_docstrings_to_the_terminal_and_not_as_the_source_does(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit):
        parse(ExampleConfig, "example", ["--help"])
    assert "The first line of this docstring ends in the middle of a sentence." in capsys.readouterr().out


def test_a_user_error_is_one_line_and_exit_code_2(capsys, monkeypatch):
    def main(_: ExampleConfig) -> None:
        raise UserError("no such file")

    assert ended(main, monkeypatch) == 2
    assert capsys.readouterr().err == "example: no such file\n"


def test_an_interrupt_is_one_line_and_the_exit_code_of_a_shell(capsys, monkeypatch):
    def main(_: ExampleConfig) -> None:
        raise KeyboardInterrupt

    assert ended(main, monkeypatch) == 130
    assert capsys.readouterr().err == "example: interrupted\n"


def test_what_main_returns_is_the_exit_code(monkeypatch):
    assert ended(lambda _: 1, monkeypatch) == 1
    assert ended(lambda _: None, monkeypatch) == 0


def test_a_reader_that_ends_early_gets_no_traceback():
    help_of_a_command = f"{sys.executable} -m tfrecords_builder --help | head -n 1"
    completed = subprocess.run(["bash", "-c", help_of_a_command], capture_output=True, text=True, check=True)
    assert completed.stdout.startswith("usage:")
    assert completed.stderr == ""


def test_a_file_that_cannot_be_written_is_one_line_and_exit_code_2(capsys, monkeypatch):
    def main(_: ExampleConfig) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/run/.model.keras.7.tmp")

    assert ended(main, monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("example: cannot read or write '/run/model.keras': No space left on device; ")


def test_a_bug_keeps_its_traceback(monkeypatch):
    def main(_: ExampleConfig) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(sys, "argv", ["example"])
    with pytest.raises(ValueError, match="a bug"):
        run(main, ExampleConfig, "example")


COMMAND = """
import dataclasses, sys
from tfrecords_builder.cli.command import run

@dataclasses.dataclass(frozen=True)
class Config:
    lines: int

def main(config):
    for line in range(config.lines):
        print(f"line {line} \\udcff")

run(main, Config, "example")
"""


def in_a_shell(lines: int, redirection: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a command that prints lines, with its stdout redirected by a shell that reports its exit code."""
    script = f"{sys.executable} -c '{COMMAND}' --lines {lines} {redirection}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, check=False)


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_stdout_that_is_full_is_one_line_and_exit_code_2(lines):
    completed = in_a_shell(lines, "> /dev/full")

    assert completed.returncode == 2
    assert completed.stderr.startswith(b"example: cannot read or write stdout")
    assert completed.stderr.count(b"\n") == 1


def test_a_reader_that_ends_before_the_last_line_gets_no_traceback():
    completed = in_a_shell(100_000, "| head -n 1")

    assert (completed.returncode, completed.stderr) == (141, b"")
    assert completed.stdout == b"line 0 \\udcff\n"  # a file name that is not UTF-8


def test_a_stdout_that_is_closed_is_no_error():
    completed = in_a_shell(3, ">&-")

    assert (completed.returncode, completed.stderr) == (0, b"")
