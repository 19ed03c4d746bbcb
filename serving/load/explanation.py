"""`python -m serving.load.explanation MODELS`: measures what an explanation costs beside its prediction."""

import dataclasses
from typing import Annotated

import tyro

from serving.load.sizes import DEFAULT_SIZES, Size
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run


@dataclasses.dataclass(frozen=True)
class ExplanationConfig:
    """Measures how much longer a prediction takes if it is explained with a Grad-CAM heatmap.

    Times two functions of the highest version by turns: `serving_default`, which predicts, and `gradcam`,
    which predicts and explains. Both run in this process, without a server, and get the same batch of images.
    """

    models: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODELS")]
    """Folder of models that `python -m serving.export` has written; a path or a URL."""
    batch_size: int = 32
    """Number of images in the batch."""
    repeats: int = 20
    """How often each function is timed. The medians are printed."""
    sizes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SIZE [SIZE ...]")] = DEFAULT_SIZES
    """Sizes of the synthetic X-rays in the batch: WIDTHxHEIGHT in pixels, or WIDTHxHEIGHT:SHARE. Of `96x96:3
    64x64:1`, three in four images have 96x96 pixels."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}")
        if not self.sizes:
            raise ValueError("at least one size is needed. Received: none")
        for size in self.sizes:
            Size.parse(size)


def main(config: ExplanationConfig) -> None:
    """Prints a table of the median times."""
    from rich.console import Console
    from rich.table import Table

    from serving.load.images import draw_images
    from serving.load.without_server import explanation_cost
    from serving.version_folders import newest_version

    images = draw_images([Size.parse(size) for size in config.sizes])
    batch = [images[position % len(images)] for position in range(config.batch_size)]
    cost = explanation_cost(newest_version(config.models), batch, config.repeats)
    table = Table(title=f"Batch of {config.batch_size} images")
    table.add_column("what is timed")
    table.add_column("median, ms", justify="right")
    table.add_column("times the prediction", justify="right")
    for what, seconds in (
        ("prediction", cost.prediction),
        ("prediction and heatmap, overlays not encoded", cost.explanation),
        ("prediction, heatmap and overlays as PNG", cost.with_overlays),
    ):
        table.add_row(what, f"{1000 * seconds:.1f}", f"{seconds / cost.prediction:.2f}")
    Console().print(table)


if __name__ == "__main__":
    run(main, ExplanationConfig, "python -m serving.load.explanation", load=startup.load_tensorflow)
