"""`chest-xray COMMAND ...`: all commands of the project under one name.

Each is a module that can also be run with `python -m`. A module is imported only when it is asked for, so
that this list costs no time and imports nothing of the other packages.
"""

import difflib
import importlib.metadata
import runpy
import sys
from typing import NoReturn

from tfrecords_builder.cli.command import EXIT_USER_ERROR
from tfrecords_builder.cli.completion import SHELLS, print_completion

PROGRAM = "chest-xray"
COMPLETION = "--completion"

COMMANDS = {
    "synthesize": ("tfrecords_builder.synthesize", "draw synthetic X-rays with known lesions"),
    "audit": ("tfrecords_builder.audit", "report problems of X-rays before training"),
    "build": ("tfrecords_builder", "build TFRecords from X-rays"),
    "verify": ("tfrecords_builder.verify", "find every fault of records"),
    "train": ("pipeline.train", "train a classifier"),
    "search": ("tuning.search", "search for the best network and train it"),
    "evaluate": ("pipeline.evaluate", "measure a classifier"),
    "compare": ("pipeline.compare", "compare classifiers"),
    "operating-point": ("pipeline.operating_point", "choose the threshold again, or fit to a new site"),
    "explain": ("pipeline.gradcam", "show where a classifier looks"),
    "export": ("serving.export", "export a classifier for TensorFlow Serving"),
    "serve": ("serving.local", "serve exported classifiers on this machine"),
    "predict": ("serving.client", "ask a server about X-rays"),
    "web": ("serving.web", "show answers on a web page"),
    "load": ("serving.load", "put a server under load"),
    "explanation-cost": ("serving.load.explanation", "measure what an explanation costs"),
    "benchmark": ("pipeline.benchmark", "measure how fast this machine reads and trains"),
    "benchmark-build": ("tfrecords_builder.benchmark", "measure how fast this machine builds records"),
    "train-lungs": ("tfrecords_builder.lungs.train", "train the lung finder"),
}
"""The module of each command, and what it is for."""


def main() -> NoReturn:
    """Runs the command that the first argument names with the other arguments, and exits."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h"):
        print(_overview())  # noqa: T201
        sys.exit(0)
    if name == "--version":
        print(importlib.metadata.version("chest-xray-pipeline"))  # noqa: T201
        sys.exit(0)
    if name == COMPLETION:
        shell = sys.argv[2] if len(sys.argv) > 2 else ""  # noqa: PLR2004
        if shell not in SHELLS:
            print(f"{PROGRAM}: {COMPLETION} must be followed by {' or '.join(SHELLS)}", file=sys.stderr)  # noqa: T201
            sys.exit(EXIT_USER_ERROR)
        print_completion(PROGRAM, {name: module for name, (module, _) in COMMANDS.items()}, shell)
        sys.exit(0)
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"`{PROGRAM} --help` lists the commands"
        print(f"{PROGRAM}: there is no command {name!r}: {remedy}", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_USER_ERROR)
    del sys.argv[1]
    runpy.run_module(COMMANDS[name][0], run_name="__main__", alter_sys=True)
    sys.exit(0)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            f"`{PROGRAM} COMMAND --help` explains a command; `{PROGRAM} --version` tells the version.",
            f"`source <({PROGRAM} {COMPLETION} SHELL)` completes them in {' or '.join(SHELLS)}.",
            "This is a research tool, not a medical device.",
        ]
    )
