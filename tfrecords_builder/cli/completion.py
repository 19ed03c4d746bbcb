"""Shell completion of `chest-xray`, as tyro makes it: names of commands, their options and their choices."""

import importlib
import typing
from typing import Any

import tyro

SHELLS = ("bash", "zsh")


def print_completion(program: str, modules: dict[str, str], shell: str) -> None:
    """Prints the script that a shell reads.

    Args:
        program: the program whose arguments are completed.
        modules: the module of each command by the command's name. Its `main` takes the command's settings.
        shell: one of SHELLS.
    """
    settings = {name: _settings_of(module) for name, module in modules.items()}
    tyro.extras.subcommand_cli_from_dict(settings, prog=program, args=["--tyro-print-completion", shell])


def _settings_of(name: str) -> Any:
    """The type of the settings that `main` of a module takes, or of the module's `__main__`."""
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__")
    hints = typing.get_type_hints(module.main)
    return next(hint for argument, hint in hints.items() if argument != "return")
