"""Builds sharded TFRecords from a folder of X-rays.

What is in the shards depends on the source, the arguments and the version alone, never on the engine, the
number of workers or the order they finish in. A build that was killed is continued by the same command.
"""

import collections
import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import tyro

from tfrecords_builder import __version__, manifest
from tfrecords_builder.building.engines.beam import build_with_beam
from tfrecords_builder.building.engines.local import build_here
from tfrecords_builder.building.plan import PlannedShard, plan_shards, source_digest
from tfrecords_builder.building.shards import BuiltShard, RecordMaker
from tfrecords_builder.building.staging import UnfinishedBuild
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import LeftOut, Manifest, SplitContent
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.records import CLASS_NAMES, SPLITS, Encoding
from tfrecords_builder.source.download import download
from tfrecords_builder.source.folders import SourceImage, find_images
from tfrecords_builder.source.splits import draw_test, draw_validation
from tfrecords_builder.source.table import TableColumns, images_folder, is_table, read_table

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class BuildConfig:
    """Builds sharded TFRecords of border-cropped X-rays from chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}.

    Raises:
        ValueError: for settings that make no records.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder of images, also as the Kaggle archive unpacks it, or a .csv or .parquet table of images."""
    records: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECORDS")]
    """Folder to write shards and dataset.json to; a path or a URL."""
    preprocessing: Annotated[Preprocessing, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Preprocessing
    )
    table: TableColumns = dataclasses.field(default_factory=TableColumns)
    encoding: Encoding = "raw"
    """How images are stored: raw pixels (fastest to read), or PNG, or JPEG of quality 95 (smallest)."""
    val_fraction: float = 0.1
    """Fraction of the pooled train and val images that becomes val, drawn by patient and stratified by
    class; 0 keeps the source's own val, which in the public dataset has 16 images."""
    test_fraction: float = 0.1
    """Fraction of the images of a table without test images that becomes test, drawn by patient."""
    shards: int = 0
    """Shards of each split; 0 chooses 1 to 16 by the number of images."""
    seed: int = 0
    """Of the validation split and of the order of the records."""
    on_error: Literal["stop", "skip"] = "stop"
    """What to do about images that cannot be read: list them all and stop, or leave them out and note
    them in dataset.json."""
    workers: int = os.cpu_count() or 1
    """Threads that decode images; those of Beam are Beam's own options."""
    engine: Literal["local", "beam"] = "local"
    """Build with the threads of this machine, or as an Apache Beam pipeline (extra `beam`)."""
    beam_options: tuple[str, ...] = ()
    """Options of the Beam pipeline as NAME=VALUE, such as runner=DataflowRunner project=P region=R."""
    download: bool = False
    """Download the public dataset from Kaggle into SOURCE first, unless it is there (extra `kaggle`)."""
    overwrite: bool = False
    """Start anew, and replace records that are there already once the new ones are whole."""

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.val_fraction <= 1:
            raise ValueError(f"val_fraction must be 0 to 0.5. Received: {self.val_fraction}")
        if not 0 <= 2 * self.test_fraction <= 1:
            raise ValueError(f"test_fraction must be 0 to 0.5. Received: {self.test_fraction}")
        if self.shards < 0:
            raise ValueError(f"shards must not be negative. Received: {self.shards}")
        if self.beam_options and self.engine != "beam":
            raise ValueError(f"beam_options go with --engine beam. Received: {' '.join(self.beam_options)}")
        if self.download and is_table(self.source):
            raise ValueError(f"--download makes a folder, SOURCE must be one. Received: {self.source}")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1. Received: {self.workers}")


def build(config: BuildConfig) -> Manifest:
    """Builds the records, or continues a build that was stopped.

    Returns:
        What `dataset.json` holds.

    Raises:
        UserError: if the source has no usable images, cannot be read, or other records are in the way.
    """
    if not config.overwrite and (existing := _existing(config)) is not None:
        logger.info("%s is built already; --overwrite builds it anew", config.records)
        return existing
    folder, images = _find(config)
    images = draw_validation(images, config.val_fraction, config.seed)
    plan = plan_shards(images, config.shards, config.seed)
    unfinished = UnfinishedBuild(config.records.rstrip("/"))
    if config.overwrite:
        unfinished.discard()
    unfinished.begin(_flat(_arguments(config)) | {"source_files": source_digest(folder, plan)})
    _build_shards(config, folder, plan, unfinished)
    try:
        content = _content(config, plan, unfinished.finished(plan))
    except UserError:
        unfinished.discard()
        raise
    unfinished.publish(content)
    return content


def _find(config: BuildConfig) -> tuple[str, list[SourceImage]]:
    """The folder that the images' paths are relative to, and the images."""
    if config.download:
        download(config.source)
    if not is_table(config.source):
        return config.source, find_images(config.source)
    images = draw_test(read_table(config.source, config.table), config.test_fraction, config.seed)
    return images_folder(config.source, config.table), images


def _build_shards(
    config: BuildConfig, folder: str, plan: Sequence[PlannedShard], unfinished: UnfinishedBuild
) -> None:
    """Builds the shards of the plan that are not finished.

    Raises:
        UserError: if the folder cannot be written; what is finished is kept.
    """
    import tensorflow as tf

    finished = unfinished.finished(plan)
    if finished:
        logger.info("continuing: %d of %d shards are finished", len(finished), len(plan))
    todo = [planned for planned in plan if planned.name not in finished]
    maker = RecordMaker(folder, config.preprocessing, config.encoding)
    try:
        if config.engine == "beam":
            build_with_beam(maker, unfinished, todo, config.beam_options)
        else:
            build_here(maker, unfinished, todo, config.workers)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"cannot write to {config.records!r}: {str(error).splitlines()[0]}; the same command continues "
            "with the shards that are missing"
        ) from None


def _content(
    config: BuildConfig, plan: Sequence[PlannedShard], finished: Mapping[str, BuiltShard]
) -> Manifest:
    """`dataset.json` of the shards built.

    Raises:
        UserError: if images are left out that must not be.
    """
    left_out = sorted((out for shard in finished.values() for out in shard.left_out), key=lambda o: o.source)
    _check_left_out(config, left_out)
    missing = {out.source for out in left_out}
    splits = {}
    for split in SPLITS:
        of_split = [planned for planned in plan if planned.split == split]
        images = [image for planned in of_split for image in planned.images if image.source not in missing]
        labels = collections.Counter(image.label for image in images)
        if of_split and len(labels) < len(CLASS_NAMES):
            raise UserError(f"no readable image of one class is left in {split!r}: both classes are needed")
        if of_split:
            splits[split] = SplitContent(
                shards=tuple(finished[planned.name].shard for planned in of_split),
                classes={name: labels[label] for label, name in enumerate(CLASS_NAMES)},
                patients=len({image.patient for image in images}),
            )
    return Manifest(
        preprocessing=config.preprocessing,
        encoding=config.encoding,
        builder_version=__version__,
        arguments=_arguments(config)["arguments"],
        splits=splits,
        left_out=tuple(left_out),
    )


def _check_left_out(config: BuildConfig, left_out: Sequence[LeftOut]) -> None:
    for entry in left_out:
        logger.warning("left out: %r: %s", entry.source, entry.reason)
    if left_out and config.on_error == "stop":
        raise UserError(
            f"{len(left_out)} images of {config.source!r} cannot be read (listed above), the first is "
            f"{left_out[0].source!r}: mend or remove them, or leave them out with --on-error skip"
        )


def _arguments(config: BuildConfig) -> dict[str, Any]:
    """What decides, beside the source, what is in the shards."""
    table = dataclasses.asdict(config.table) | {"positive": list(config.table.positive)}
    del table["images"]  # a place on this machine
    own = ("val_fraction", "test_fraction", "shards", "seed", "on_error")
    return {
        "builder_version": __version__,
        "preprocessing": dataclasses.asdict(config.preprocessing),
        "encoding": config.encoding,
        "arguments": {name: getattr(config, name) for name in own} | {"table": table},
    }


def _existing(config: BuildConfig) -> Manifest | None:
    """The records that are there already, if they are what is asked for.

    Raises:
        UserError: if they are not.
    """
    import tensorflow as tf

    if not tf.io.gfile.exists(f"{config.records.rstrip('/')}/{manifest.FILE_NAME}"):
        return None
    existing = manifest.load(config.records)
    there = dataclasses.asdict(existing)
    for name, value in _flat(_arguments(config)).items():
        if _flat(there).get(name) != value:
            raise UserError(
                f"{config.records!r} holds records made with {name}={_flat(there).get(name)}, not {value}: "
                "choose another folder, or replace them with --overwrite"
            )
    return existing


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by their own names, whatever group they are in."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= value if name in {"arguments", "preprocessing"} else {name: value}
    return flat
