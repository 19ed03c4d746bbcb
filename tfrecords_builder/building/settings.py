"""The options of `python -m tfrecords_builder`, and which of them decide what is in the records."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from tfrecords_builder.cli.options import optional
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.records import Encoding, LungMasks
from tfrecords_builder.source.settings import SourceOptions
from tfrecords_builder.source.table_rows import is_table


@dataclasses.dataclass(frozen=True)
class BuildConfig:
    """Builds sharded TFRecords from a folder or a table of X-rays.

    Each image is decoded to gray, cropped at its border and made square.

    Raises:
        ValueError: if a setting is out of range, or settings contradict each other.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder with {train,val,test}/{NORMAL,PNEUMONIA}, or the folder that the Kaggle archive unpacks to, or a
    table that lists the images (.csv, .tsv, .txt, each also with .gz, or .parquet)."""
    records: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECORDS")]
    """Folder to write the shards and dataset.json into; a path or a URL."""
    preprocessing: Annotated[Preprocessing, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Preprocessing
    )
    reading: Annotated[SourceOptions, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=SourceOptions
    )
    encoding: Encoding = "raw"
    """How images are stored: as raw pixels (fastest to read), as PNG, or as JPEG of quality 95 (smallest)."""
    lungs: Annotated[str, tyro.conf.arg(metavar="DIR|auto|none")] = "auto"
    """Lung masks to store with the images. From them a classifier learns to look at the lungs. `auto` lets
    the lung finder draw them. DIR is a folder of masks that are laid out as the images,
    DIR/{train,val,test}/{NORMAL,PNEUMONIA}/NAME.png, white in the lungs. `none` stores none."""
    val_fraction: float = 0.1
    """Fraction, 0 to 0.5, of train and val together that becomes the new val. It is drawn by patient, with
    the same fraction of each class. 0 keeps the val of the source, which has 16 images in the public
    dataset."""
    test_fraction: float = 0.1
    """0 to 0.5: fraction of the images of a table that becomes test, drawn by patient. It is not used if the
    table has test images, nor for a folder. 1: every image of the table or the folder becomes test; such
    records are for `pipeline.evaluate` alone."""
    shards: int = 0
    """Number of shards of each split, at least 0. 0 makes one for every 256 images, but at most 16."""
    seed: int = 0
    """Seed that decides which patients are drawn for val and test, and the order of the records."""
    on_error: Literal["stop", "skip"] = "stop"
    """What to do about images that cannot be read. stop: list all of them and build nothing. skip: leave them
    out and list them in dataset.json."""
    workers: int = os.cpu_count() or 1
    """Number of threads that decode images, at least 1; by default one per core. It is not used with --engine
    beam."""
    engine: Literal["local", "beam"] = "local"
    """What builds the records: the threads of this machine, or an Apache Beam pipeline, which can run on many
    machines (needs the extra `beam`)."""
    beam_options: Annotated[tuple[str, ...], optional("[NAME=VALUE ...]")] = ()
    """Options of the Beam pipeline, for example runner=DataflowRunner project=P region=R."""
    download: bool = False
    """If SOURCE has no files, download the public dataset from Kaggle into it first (needs the extra
    `kaggle`)."""
    overwrite: bool = False
    """Build again even if RECORDS holds records already. They are replaced when the new ones are complete."""

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.val_fraction <= 1:
            raise ValueError(f"val_fraction must be 0 to 0.5. Received: {self.val_fraction}")
        if not (0 <= 2 * self.test_fraction <= 1 or self.test_fraction == 1):
            raise ValueError(f"test_fraction must be 0 to 0.5, or 1. Received: {self.test_fraction}")
        if self.shards < 0:
            raise ValueError(f"shards must not be negative. Received: {self.shards}")
        if self.beam_options and self.engine != "beam":
            raise ValueError(f"beam_options need --engine beam. Received: {' '.join(self.beam_options)}")
        if self.download and is_table(self.source):
            raise ValueError(f"--download needs a folder as SOURCE. Received: {self.source}")
        if self.lung_masks == "masks" and not Path(self.lungs).is_dir():
            raise ValueError(
                f"lungs must be auto, none or a folder of lung masks that exists. Received: {self.lungs}"
            )
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1. Received: {self.workers}")

    @property
    def lung_masks(self) -> LungMasks:
        """Where the lung masks come from."""
        return self.lungs if self.lungs in ("none", "auto") else "masks"  # type: ignore[return-value]

    def arguments(self) -> dict[str, Any]:
        """What dataset.json lists as `arguments`: the options that decide, with the source, what is built."""
        names = ("val_fraction", "test_fraction", "shards", "seed", "on_error")
        reading = json.loads(json.dumps(dataclasses.asdict(self.reading)))  # with lists instead of tuples
        del reading["table"]["images"]  # a place on this machine
        for name in ("keep", "box"):
            if not reading["table"][name]:
                del reading["table"][name]  # so that other records keep the text of earlier versions
        lungs = {"lungs": self.lung_masks}  # the path of a folder is a place on this machine
        return {name: getattr(self, name) for name in names} | reading | lungs
