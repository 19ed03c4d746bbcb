"""`python -m serving.load.explanation MODELS`: what a Grad-CAM costs beside its prediction."""

import dataclasses
from typing import Annotated

import tyro

from serving.load import bare, images
from serving.load.__main__ import DEFAULT_SIZES
from serving.version_folders import newest_version
from tfrecords_builder.cli.command import run


@dataclasses.dataclass(frozen=True)
class ExplanationConfig:
    """Times `serving_default` and `gradcam` of the newest version in turn, for the same batch."""

    models: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODELS")]
    """Folder of models, as `python -m serving.export` writes it."""
    batch_size: int = 32
    """Images of the batch."""
    repeats: int = 20
    """Times that each is timed."""
    sizes: tuple[str, ...] = DEFAULT_SIZES
    """Mix of synthetic radiographs, WIDTHxHEIGHT:SHARE each."""

    def __post_init__(self) -> None:
        if min(self.batch_size, self.repeats) < 1:
            raise ValueError(
                f"batch_size and repeats must be at least 1. Received: {self.batch_size}, {self.repeats}"
            )


def main(config: ExplanationConfig) -> None:
    """Prints medians in milliseconds, and ratios."""
    files = images.drawn([images.Size.parse(size) for size in config.sizes])
    batch = [files[position % len(files)] for position in range(config.batch_size)]
    cost = bare.explanation_cost(newest_version(config.models), batch, config.repeats)
    for what, seconds in (
        ("serving_default", cost.prediction),
        ("gradcam without the encoding of its overlays", cost.explanation),
        ("gradcam, overlays encoded", cost.with_overlays),
    ):
        print(f"{1000 * seconds:8.1f} ms  {seconds / cost.prediction:5.2f}  {what}")  # noqa: T201


if __name__ == "__main__":
    run(main, ExplanationConfig, "python -m serving.load.explanation")
