"""Publishes a run as a version of the served model: writes it, checks its answers, and gives it its name.

The version is written into a folder whose name is no integer. A server that looks for new versions ignores
such folders, so it never loads a version that is not complete, or one that answers differently from the run.
"""

import contextlib
import logging
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from pipeline import runs
from serving.exporting import saved_model
from serving.exporting.comparison import refuse_other_answers
from serving.exporting.golden_answers import answer_golden_images
from serving.names import MODEL_NAME
from serving.version_folders import version_folders
from tfrecords_builder import storage
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.errors import UserError
from tfrecords_builder.ownership import SYSTEM_FILES

_MAY_BE_THERE = re.compile(rf".*\.config|{SYSTEM_FILES.pattern}")

logger = logging.getLogger(__name__)


def publish(run_folder: str, models: str, version: int | None = None) -> str:
    """Publishes a finished run.

    Args:
        run_folder: folder of the run; a path or a URL.
        models: folder of models; a path or a URL. It is made if there is none.
        version: number of the new version; None for the highest number there plus 1.

    Returns:
        The folder of the new version.

    Raises:
        UserError: if the run is not finished, if there is a version with that number, or if the folder holds
            files that belong to no model.
        ExportRefused: if the exported model answers differently from the run.
    """
    for folder in (models, storage.join(models, MODEL_NAME)):
        _refuse_foreign_files(folder)
    run = runs.load(run_folder)
    base_path = storage.join(models, MODEL_NAME)
    number = _free_number(base_path, version)
    target = storage.join(base_path, str(number))
    unfinished = storage.join(base_path, f"unfinished-{number}-{uuid.uuid4().hex}")  # nobody else's folder
    try:
        golden = answer_golden_images(run)
        steps: tuple[Callable[[], None], ...] = (
            lambda: saved_model.write(run, unfinished),
            lambda: refuse_other_answers(golden, unfinished),
            lambda: golden.save(unfinished),
            lambda: _rename_folder(unfinished, target),
        )
        for step in progress(steps, len(steps), "exporting", quiet_if_quick=True):
            step()
    finally:
        _remove_folder(unfinished)
    threshold = run.operating_point.threshold
    logger.info("version %d labels an image PNEUMONIA if its probability is at least %.4f", number, threshold)
    return target


def _refuse_foreign_files(folder: str) -> None:
    """Refuses a folder in which files lie beside the folders of models or versions, as in a home folder."""
    for name, is_folder in sorted(storage.entries(folder)):
        is_link_to_folder = not storage.is_url(folder) and Path(folder, name).is_dir()
        if not (is_folder or is_link_to_folder or _MAY_BE_THERE.fullmatch(name)):
            raise UserError(
                f"{folder!r} holds {name!r}, which does not belong to a folder of models: choose another "
                "folder, or move that file away first"
            )


def _free_number(base_path: str, version: int | None) -> int:
    folders = version_folders(base_path) if storage.exists(base_path) else {}
    if version in folders:
        raise _is_there(folders[version])
    return version if version is not None else max(folders, default=0) + 1


def _is_there(folder: str) -> UserError:
    return UserError(
        f"there is already a version in {folder!r}, and versions are never replaced: leave out --version to "
        "get the next free number"
    )


def _rename_folder(folder: str, target: str) -> None:
    """Renames a folder with all its files.

    Some file systems, among them `ram://`, rename the folder and leave its files behind. They are then moved
    one by one. `saved_model.pb` is last, because a server cannot load a version before that file is there.
    """
    files = [
        storage.join(parent, name).removeprefix(f"{folder}/")
        for parent, _, names in tf.io.gfile.walk(folder)
        for name in names
    ]
    try:
        tf.io.gfile.rename(folder, target)
    except tf.errors.AlreadyExistsError:  # another export has published this number meanwhile
        raise _is_there(target) from None
    for name in sorted(files, key=lambda name: name == saved_model.GRAPH_FILE):
        left_behind, moved = storage.join(folder, name), storage.join(target, name)
        if storage.exists(left_behind):
            tf.io.gfile.makedirs(moved.rpartition("/")[0])
            tf.io.gfile.rename(left_behind, moved)


def _remove_folder(folder: str) -> None:
    if storage.exists(folder):
        # `ram://` keeps the names of folders whose files were moved, and fails to find them when it removes
        # them.
        with contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.rmtree(folder)
