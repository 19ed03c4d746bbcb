"""`python -m serving.client IMAGE...`: asks a server about X-rays."""

import contextlib
import dataclasses
import logging
import sys
from collections.abc import Iterator
from typing import Annotated

import tyro

from serving.client.answers import Explanation, Prediction
from serving.client.client import Client
from serving.client.errors import ServingError
from serving.client.images import BLANK_IMAGE, find_images
from serving.client.options import ServerOptions
from serving.client.output import Csv, JsonLines, Output, OverlayFolder, Table, printable
from serving.client.waiting import wait_for_server
from tfrecords_builder import storage
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import EXIT_USER_ERROR, run
from tfrecords_builder.cli.options import optional
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.decoding.formats import DICOM, FORMATS, expected
from tfrecords_builder.errors import UserError
from tfrecords_builder.source.passed_over import PassedOver

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientConfig(ServerOptions):
    """Asks a server for the probability of pneumonia in X-rays, and for pictures that explain its answers.

    The exit code is 0 if there is an answer about every image. It is 2 if the server did not answer, or if an
    image could not be read or decoded. Such an image does not affect the others: they are answered, and the
    output says what was wrong with it.

    With --verify MODELS, it checks instead that the server has the model that was evaluated.
    """

    images: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(
            metavar="IMAGE",
            help_behavior_hint="(at least one, unless --verify is given)",
            help=f"X-rays: {expected(FORMATS)} files, {DICOM} files if the extra `dicom` is installed, or "
            "folders that contain such files at any depth.",
        ),
    ] = ()
    overlay: Annotated[str | None, optional("DIR")] = None
    """Folder for overlays, a path or a URL: a PNG file for each X-ray, with a heatmap of what counts as
    evidence for the answer. A folder that holds other files than overlays is refused."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write JSON instead of a table: one object a line, each as soon as the answer arrives. An image that
    could not be read or decoded has the probability null. Not together with --csv."""
    csv: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write CSV instead of a table: one line for each image, as soon as the answer arrives. The cell of the
    probability is empty for an image that could not be read or decoded. Not together with --json."""
    wait: float = 0.0
    """Seconds, at least 0, to wait for a server that is still starting. By default, a server that cannot be
    reached is reported at once."""
    verify: Annotated[str | None, optional("MODELS")] = None
    """Instead of asking about images: check that the server has the model that was evaluated. MODELS is the
    folder of exported models, a path or a URL. The golden images of the newest version there, or of
    --version, are sent, and all answers are compared. The exit code is 1 if any differs, or if another
    version answers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.images) == (self.verify is not None):
            received = "both" if self.images else "neither"
            raise ValueError(f"at least one IMAGE, or --verify MODELS, is needed. Received: {received}")
        if not self.wait >= 0:
            raise ValueError(f"wait must be at least 0 s. Received: {self.wait}")
        if self.json and self.csv:
            raise ValueError("give --json or --csv, not both. Received: both")


def main(config: ClientConfig) -> int:
    """Asks the server about every image, and writes the answers; returns the exit code."""
    if config.verify is not None:
        return _verify(config, config.verify)
    files = _find_images(config)
    overlays = None if config.overlay is None else _overlay_folder(config.overlay, files)
    if config.transport == "grpc":
        startup.load_tensorflow()
    num_answered = 0
    problems: list[str] = []
    try:
        with config.connect() as client, _open_output(config) as output:
            if config.wait:
                wait_for_server(lambda: client.predict([BLANK_IMAGE]), config.wait)
            for file, answer in _with_progress(config, _ask(client, files, overlays), len(files)):
                output.add(file, answer, overlays.write(file, answer) if overlays else None)
                if not answer.valid:
                    problems.append(f"{printable(file)}: {answer.reason}")
                num_answered += 1
    except ServingError as error:
        raise UserError(f"{error} (answered: {num_answered} of {len(files)} images)") from None
    finally:
        for problem in problems:
            logger.error("%s", problem)
    return EXIT_USER_ERROR if problems else 0


def _verify(config: ClientConfig, models: str) -> int:
    startup.load_tensorflow()  # it lists the versions
    from serving.client.verify import report, verify

    verification = verify(config, models, config.wait)
    report(verification, config)
    for problem in verification.problems:
        logger.error("%s", problem)
    return int(bool(verification.problems))


def _find_images(config: ClientConfig) -> list[str]:
    """The images to ask about. Images of other formats in folders are counted in one line.

    Raises:
        UserError: if there is no image, or a folder cannot be listed.
    """
    passed_over = PassedOver()
    files = find_images(config.images, passed_over)
    remark = str(passed_over)
    if not files:
        places = ", ".join(map(repr, config.images))
        raise UserError(
            f"no {expected((*FORMATS, DICOM))} file in {places}" + (f" ({remark})" if remark else "")
        )
    if remark:
        logger.warning("%s", remark)
    return files


def _overlay_folder(folder: str, files: list[str]) -> OverlayFolder:
    if storage.is_url(folder):
        startup.load_tensorflow()  # it opens URLs
    return OverlayFolder(folder, files)


def _ask(
    client: Client, files: list[str], overlays: OverlayFolder | None
) -> Iterator[tuple[str, Prediction | Explanation]]:
    return client.predict_each(files) if overlays is None else client.explain_each(files)


@contextlib.contextmanager
def _open_output(config: ClientConfig) -> Iterator[Output]:
    """Writes the answers that arrived, also if an error ends the block."""
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


def _with_progress(
    config: ClientConfig, answers: Iterator[tuple[str, Prediction | Explanation]], total: int
) -> Iterator[tuple[str, Prediction | Explanation]]:
    writes_lines = config.json or config.csv
    if writes_lines and sys.stdout.isatty():
        return answers  # the lines on the terminal show the progress
    return progress(answers, total, "X-rays", quiet_if_quick=True)


if __name__ == "__main__":
    run(main, ClientConfig, "python -m serving.client")
