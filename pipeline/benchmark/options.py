"""The options of the benchmark. They need no TensorFlow, so that the command shows its help at once."""

import dataclasses
from typing import Annotated, Literal, get_args

import tyro

from pipeline.benchmark.timing import Timer
from tfrecords_builder.preprocessing import Preprocessing

Stage = Literal["limits", "input", "step", "goodput"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """Measures how fast the input and the training step are, alone and together, and the machine's limits.

    Prints tables of images per second. Writes benchmark.json (every repeat, the settings and the machine) and
    benchmark.png (a chart).

    Raises:
        ValueError: if nothing could be measured with such settings.
    """

    records: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[RECORDS]")] = None
    """Folder of records, of which the split train is used. Without it, synthetic images are made."""
    batch_sizes: tuple[int, ...] = (32,)
    """Images per batch, one or more numbers. The training step is measured with each of them, the input with
    the largest, goodput and PyTorch's training step with the first."""
    image_size: int = 224
    """Side in pixels of the synthetic images with which the input is measured; ignored with RECORDS."""
    step_image_size: int = 64
    """Side in pixels of the synthetic images with which the training step and goodput are measured; ignored
    with RECORDS."""
    images: int = 4096
    """Number of synthetic images of each size; ignored with RECORDS."""
    timer: Annotated[Timer, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Timer)
    stages: tuple[Stage, ...] = STAGES
    """What is measured: the limits of the machine, the input, the training step, and goodput: how much of the
    slower one's rate is left when the input feeds the training step."""
    peers: bool = False
    """Also measure other libraries on the same images, those that are installed of the extra `peers`."""
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
