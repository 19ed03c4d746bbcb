"""Builds sharded TFRecords from a source of X-rays.

What is in the shards depends only on the source, the settings and the version, not on the engine, the number
of workers or the order in which they finish. The same command continues a build that was killed.
"""

import collections
import dataclasses
import logging
from collections.abc import Mapping, Sequence, Set
from typing import Any

from tfrecords_builder import __version__, continuing, manifest, storage
from tfrecords_builder.building.engines.beam import build_with_beam
from tfrecords_builder.building.engines.local import build_with_threads
from tfrecords_builder.building.plan import PlannedShard, plan_shards, source_digest
from tfrecords_builder.building.record_maker import RecordMaker
from tfrecords_builder.building.records_folder import owned_files
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.building.shard_writer import BuiltShard
from tfrecords_builder.building.unfinished import UnfinishedBuild
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import LeftOut, Manifest, SplitContent
from tfrecords_builder.ownership import refuse_unknown_files
from tfrecords_builder.records import CLASS_NAMES, SPLITS
from tfrecords_builder.source.download import download
from tfrecords_builder.source.find import find_source_images
from tfrecords_builder.source.images import SourceImage
from tfrecords_builder.source.lung_masks import count_masks, mask_path
from tfrecords_builder.source.splits import draw_test, draw_validation, patients_also_in_test
from tfrecords_builder.source.table_rows import is_table

_PATIENTS_SHOWN = 3  # in a warning

logger = logging.getLogger(__name__)


def build(config: BuildConfig) -> Manifest:
    """Builds the records, or continues a build that was stopped.

    Returns:
        The content of `dataset.json`.

    Raises:
        UserError: if the source cannot be read or has no usable images, if the folder holds records of other
            settings or files that the builder did not write.
    """
    unfinished = UnfinishedBuild(config.records.rstrip("/"))
    if not config.overwrite and (existing := _existing_records(config)) is not None:
        unfinished.discard_if_published()
        logger.info("%s holds these records already; --overwrite builds them anew", config.records)
        return existing
    refuse_unknown_files(config.records, owned_files(config.records))
    folder, images = _find_images(config)
    _warn_of_patients_in_test(images)
    plan = plan_shards(draw_validation(images, config.val_fraction, config.seed), config.shards, config.seed)
    if config.overwrite:
        unfinished.discard()
    masks = config.lungs if config.lung_masks == "masks" else None
    if masks is not None and not count_masks(masks, images):
        raise UserError(
            f"no image has a mask in {masks!r}: masks are laid out as the images, so the first of them would "
            f"be {mask_path(masks, images[0].source)!r}"
        )
    unfinished.begin(_settings(config) | {"source_files": source_digest(folder, plan, masks)})
    _build_missing_shards(config, folder, plan, unfinished)
    try:
        content = _describe(config, plan, unfinished.finished(plan))
    except UserError:
        unfinished.discard()
        raise
    unfinished.publish(content)
    return content


def _existing_records(config: BuildConfig) -> Manifest | None:
    """Returns what the folder holds already, if anything.

    Raises:
        UserError: if its records were built with other settings.
    """
    if not storage.exists(storage.join(config.records, manifest.FILE_NAME)):
        return None
    existing = manifest.load(config.records)
    continuing.refuse_other_settings(
        f"{config.records!r} holds records that were built",
        _settings_of_manifest(existing),
        _settings(config),
        "choose another folder, or replace the records with --overwrite",
    )
    return existing


def _settings(config: BuildConfig) -> dict[str, Any]:
    """Everything beside the source that decides what is in the records, by the names of the options."""
    return {
        "builder_version": __version__,
        **dataclasses.asdict(config.preprocessing),
        "encoding": config.encoding,
        **config.arguments(),
    }


def _settings_of_manifest(content: Manifest) -> dict[str, Any]:
    """The same settings as `_settings` returns, of records that exist."""
    return {
        "builder_version": content.builder_version,
        **dataclasses.asdict(content.preprocessing),
        "encoding": content.encoding,
        "lungs": "none",  # of records of earlier versions, whose arguments do not have it
        **content.arguments,
    }


def _find_images(config: BuildConfig) -> tuple[str, list[SourceImage]]:
    """Returns the folder that the paths of the images are relative to, and the images."""
    if config.download:
        download(config.source)
    found = find_source_images(config.source, config.reading)
    images = found.images
    if is_table(config.source) or config.test_fraction == 1:
        images = draw_test(images, config.test_fraction, config.seed)
    if config.test_fraction != 1 and not any(image.split == "train" for image in images):
        raise UserError(
            f"{config.source!r} has test images only: build records for an evaluation alone with "
            "--test-fraction 1, or add training images"
        )
    return found.folder, images


def _warn_of_patients_in_test(images: Sequence[SourceImage]) -> None:
    """Says in one line which patients of `test` the model will also have seen in training."""
    if shared := patients_also_in_test(images):
        names = [*map(repr, shared[:_PATIENTS_SHOWN]), *(["..."] if len(shared) > _PATIENTS_SHOWN else [])]
        logger.warning(
            "patients of test that are also in train or val: %d (%s); if these are the same people, the "
            "model will look better on test than it is. `python -m tfrecords_builder.audit` lists them",
            len(shared),
            ", ".join(names),
        )


def _build_missing_shards(
    config: BuildConfig, folder: str, plan: Sequence[PlannedShard], unfinished: UnfinishedBuild
) -> None:
    finished = unfinished.finished(plan)
    if finished:
        logger.info("continuing: %d of %d shards are finished", len(finished), len(plan))
    missing = [planned for planned in plan if planned.name not in finished]
    maker = RecordMaker(folder, config.preprocessing, config.encoding, config.lungs)
    if config.engine == "beam":
        build_with_beam(maker, unfinished, missing, config.beam_options)
    else:
        build_with_threads(maker, unfinished, missing, config.workers)


def _describe(
    config: BuildConfig, plan: Sequence[PlannedShard], finished: Mapping[str, BuiltShard]
) -> Manifest:
    """Returns the content of `dataset.json`.

    Raises:
        UserError: if images cannot be read that must not be left out, or a split lost all images of a class.
    """
    left_out = sorted((out for shard in finished.values() for out in shard.left_out), key=lambda o: o.source)
    _check_left_out(config, left_out)
    unreadable = {entry.source for entry in left_out}
    splits = {}
    for split in SPLITS:
        shards = [planned for planned in plan if planned.split == split]
        if shards:
            splits[split] = _describe_split(config, split, shards, finished, unreadable)
    return Manifest(
        preprocessing=config.preprocessing,
        encoding=config.encoding,
        builder_version=__version__,
        arguments=config.arguments(),
        splits=splits,
        left_out=tuple(left_out),
    )


def _check_left_out(config: BuildConfig, left_out: Sequence[LeftOut]) -> None:
    for entry in left_out:
        logger.warning("left out: %r: %s", entry.source, entry.reason)
    if left_out and config.on_error == "stop":
        raise UserError(
            f"{len(left_out)} images of {config.source!r} cannot be read (listed above), the first is "
            f"{left_out[0].source!r}: repair or remove them, or leave them out with --on-error skip"
        )


def _describe_split(
    config: BuildConfig,
    split: str,
    shards: Sequence[PlannedShard],
    finished: Mapping[str, BuiltShard],
    unreadable: Set[str],
) -> SplitContent:
    images = [image for planned in shards for image in planned.images if image.source not in unreadable]
    num_images = collections.Counter(image.label for image in images)
    if len(num_images) < len(CLASS_NAMES):
        raise UserError(f"{split!r} has no readable image of one class: both classes are needed")
    return SplitContent(
        shards=tuple(finished[planned.name].shard for planned in shards),
        classes={name: num_images[label] for label, name in enumerate(CLASS_NAMES)},
        patients=len({image.patient for image in images}),
        lungs=_count_lungs(config, split, images),
    )


def _count_lungs(config: BuildConfig, split: str, images: Sequence[SourceImage]) -> int:
    """The number of images with a lung mask; says how many have none."""
    if config.lung_masks != "masks":
        return len(images) if config.lung_masks == "auto" else 0
    num_masks = count_masks(config.lungs, images)
    if num_masks < len(images):
        without = len(images) - num_masks
        logger.warning(
            "%d of %d %s images have no lung mask in %r", without, len(images), split, config.lungs
        )
    return num_masks
