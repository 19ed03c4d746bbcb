"""The options of the benchmark. They need no TensorFlow, so that the command shows its help at once."""

import dataclasses
from typing import Annotated, Literal, get_args

import tyro

from pipeline.benchmark.timing import Timer
from tfrecords_builder.cli.options import optional
from tfrecords_builder.preprocessing import Preprocessing

Stage = Literal["limits", "input", "step", "goodput"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """Measures how fast this machine reads images and trains on them: each alone, and both together.

    Prints tables of images per second. Writes benchmark.json (every measurement, the settings and the
    machine) and benchmark.png (a chart). Run it on an idle machine.

    Raises:
        ValueError: if nothing could be measured with such settings.
    """

    records: Annotated[tyro.conf.Positional[str | None], optional("[RECORDS]")] = None
    """Folder of records, whose split `train` is read. Without it, synthetic images are read."""
    batch_sizes: tuple[int, ...] = (32,)
    """Number of images in a batch: one or more numbers of at least 1. The training step is measured with each
    of them, and reading with the largest. `goodput` (see --stages) and PyTorch's training step are measured
    with the first."""
    image_size: int = 224
    """Side in pixels of the synthetic images with which the input is measured; ignored with RECORDS."""
    step_image_size: int = 64
    """Side in pixels of the synthetic images with which the training step and goodput are measured; ignored
    with RECORDS."""
    images: int = 4096
    """Number of synthetic images of each size; ignored with RECORDS."""
    timer: Annotated[Timer, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Timer)
    stages: tuple[Stage, ...] = STAGES
    """What is measured. `limits`: how fast the machine reads files, copies memory and decodes JPEG files
    without this project. `input`: reading batches. `step`: training on a batch that is in memory already.
    `goodput`: reading and training at the same time, compared with the slower of the two alone."""
    peers: bool = False
    """Also measure other libraries with the same images: those of the extra `peers` that are installed."""
    output: str = "benchmark"
    """Local folder to write benchmark.json and benchmark.png to."""

    def __post_init__(self) -> None:
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            raise ValueError(
                f"batch_sizes must be one or more numbers of at least 1. Received: {self.batch_sizes}"
            )
        if not self.stages:
            raise ValueError(f"stages must be one or more of {STAGES}. Received: {self.stages}")
        if self.images < max(self.batch_sizes):
            raise ValueError(
                f"images must be at least the largest batch size, {max(self.batch_sizes)}. "
                f"Received: {self.images}"
            )
        for side in (self.image_size, self.step_image_size):
            Preprocessing(image_size=side)  # raises ValueError for a size that records cannot have
