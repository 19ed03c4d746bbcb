"""`python -m serving.client IMAGE...`: asks a server about X-rays, and why it answers as it does."""

import contextlib
import dataclasses
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import rich.console
import rich.progress
import tyro

from serving.client.answers import Explanation, Prediction
from serving.client.connection import Client
from serving.client.errors import ServingError
from serving.client.images import find_images
from serving.client.options import ServerOptions
from serving.client.output import Csv, JsonLines, Output, OverlayFolder, Table, printable
from tfrecords_builder.cli.command import EXIT_USER_ERROR, run
from tfrecords_builder.errors import UserError

_PROGRESS_INTERVAL = 10.0  # seconds between lines where stderr is no terminal

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientConfig(ServerOptions):
    """Asks a server for the probability of pneumonia in X-rays, and for overlays of what speaks for it.

    The exit code is 0 if every image was answered. It is 2 if one could not be read or decoded (the others
    are answered all the same, and the table says why), or if the server did not answer.
    """

    images: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE")]
    """X-rays: JPEG, PNG, BMP or GIF files, or folders, which are searched for them."""
    overlay: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Explain too, and write a PNG per image into this folder."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write one JSON object a line instead of a table, each as soon as it is known."""
    csv: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write CSV instead of a table, each line as soon as it is known."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.images:
            raise ValueError("at least one IMAGE is needed. Received: none")
        if self.json and self.csv:
            raise ValueError("--json or --csv, not both. Received: both")


def main(config: ClientConfig) -> int:
    """Asks, and writes the answers to stdout and the overlays to their folder."""
    files = find_images(config.images)
    if not files:
        raise UserError(f"no JPEG, PNG, BMP or GIF file in {', '.join(map(repr, config.images))}")
    overlays = OverlayFolder(config.overlay) if config.overlay is not None else None
    answered = 0
    refused: list[str] = []
    try:
        with config.connect() as client, _output(config) as output, _progress(len(files)) as show:
            for file, answer in _ask(client, files, overlays):
                output.add(file, answer, overlays.write(file, answer) if overlays else None)
                if not answer.valid:
                    refused.append(f"{printable(file)}: {answer.reason}")
                answered += 1
                show(answered)
    except ServingError as error:
        raise UserError(f"{error} (answered: {answered} of {len(files)} images)") from None
    finally:
        for line in refused:
            logger.error("%s", line)
    return EXIT_USER_ERROR if refused else 0


def _ask(
    client: Client, files: list[str], overlays: OverlayFolder | None
) -> Iterator[tuple[str, Prediction | Explanation]]:
    return client.predict_each(files) if overlays is None else client.explain_each(files)


@contextlib.contextmanager
def _output(config: ClientConfig) -> Iterator[Output]:
    """What was answered is written even if the rest fails."""
    output: Output = (
        JsonLines()
        if config.json
        else Csv()
        if config.csv
        else Table(with_overlays=config.overlay is not None)
    )
    try:
        yield output
    finally:
        output.close()


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; elsewhere a line now and then."""
    if sys.stderr.isatty():
        with rich.progress.Progress(console=rich.console.Console(stderr=True), transient=True) as bar:
            task = bar.add_task("X-rays", total=total)
            yield lambda answered: bar.update(task, completed=answered)
        return
    last = time.monotonic()

    def say(answered: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_INTERVAL:
            last = time.monotonic()
            logger.info("%d of %d images", answered, total)

    yield say


if __name__ == "__main__":
    run(main, ClientConfig, "python -m serving.client")
