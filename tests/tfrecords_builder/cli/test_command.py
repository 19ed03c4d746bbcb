"""How a command parses its options, and how it ends."""

import dataclasses
import subprocess
import sys

import pytest

from tfrecords_builder.cli.command import parse, run
from tfrecords_builder.errors import UserError


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
            "Error parsing nested: size must be at least 1. Received: 0 (see example --help)",
        ),
        (["--no-such"], "Unrecognized options: --no-such (see example --help)"),
    ],
)
def test_options_that_do_not_fit_are_one_line(arguments, message):
    with pytest.raises(UserError) as error:
        parse(ExampleConfig, "example", arguments)
    assert str(error.value) == message


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
