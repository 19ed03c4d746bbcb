"""A build that is not complete: the settings it was begun with, and the shards that are finished.

All its files are in `RECORDS/unfinished/` until the last shard is finished: a build that is killed leaves no
other files, and the records that it replaces stay until then. A shard is finished when the JSON file that
describes it exists.
"""

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfrecords_builder import continuing, manifest, storage
from tfrecords_builder.building.plan import PlannedShard
from tfrecords_builder.building.shards import BuiltShard
from tfrecords_builder.manifest import LeftOut, Manifest, Shard

FOLDER = "unfinished"
SETTINGS = "begun-with.json"
TEMPORARY_SUFFIX = ".tmp"  # of the files that `storage.replacing` renames


@dataclasses.dataclass(frozen=True)
class UnfinishedBuild:
    """The folder of a build that is not complete."""

    records: str
    """Folder of the records; a path or a URL."""

    @property
    def folder(self) -> str:
        """Folder of the finished shards, until they are published."""
        return storage.join(self.records, FOLDER)

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Begins the build, or continues one that was begun with the same settings.

        Raises:
            UserError: if it was begun with other settings; the message names the first difference.
        """
        what = f"{self.records!r} holds an unfinished build that was begun"
        if continuing.begin_or_continue(storage.join(self.folder, SETTINGS), settings, what):
            self._remove_temporary_files()

    def _remove_temporary_files(self) -> None:
        """Removes what a killed process left."""
        for name in tf.io.gfile.listdir(self.folder):
            if name.endswith(TEMPORARY_SUFFIX):
                tf.io.gfile.remove(storage.join(self.folder, name))

    def add(self, built: BuiltShard) -> None:
        """Marks a shard as finished."""
        description = json.dumps(dataclasses.asdict(built), indent=1) + "\n"
        storage.write(self._description(built.shard.name), description)

    def finished(self, plan: Sequence[PlannedShard]) -> dict[str, BuiltShard]:
        """Returns the shards of a plan that are finished, by name."""
        names = set(tf.io.gfile.listdir(self.folder))
        return {
            planned.name: _parse(storage.read(self._description(planned.name)))
            for planned in plan
            if _description_name(planned.name) in names
        }

    def publish(self, content: Manifest) -> None:
        """Moves all shards to the folder of the records, and dataset.json last.

        So whoever reads dataset.json finds all shards that it names. A publishing that was killed is
        continued.
        """
        published = storage.join(self.records, manifest.FILE_NAME)
        names = {shard.name for split in content.splits.values() for shard in split.shards}
        if tf.io.gfile.exists(published):
            tf.io.gfile.remove(published)
        for old in tf.io.gfile.glob(storage.join(self.records, "*.tfrecord")):
            if old.rpartition("/")[2] not in names:
                tf.io.gfile.remove(old)
        storage.write(storage.join(self.folder, manifest.FILE_NAME), content.to_json())
        still_here = set(tf.io.gfile.listdir(self.folder))
        for name in (*sorted(names & still_here), manifest.FILE_NAME):
            source, target = storage.join(self.folder, name), storage.join(self.records, name)
            tf.io.gfile.rename(source, target, overwrite=True)
        self.discard()

    def discard(self) -> None:
        """Removes the unfinished build, and the folder of the records if it is empty then."""
        with contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.rmtree(self.folder)
            if not tf.io.gfile.listdir(self.records):
                tf.io.gfile.rmtree(self.records)

    def _description(self, shard: str) -> str:
        return storage.join(self.folder, _description_name(shard))


def _description_name(shard: str) -> str:
    return f"{shard}.json"


def _parse(description: str) -> BuiltShard:
    fields = json.loads(description)
    return BuiltShard(Shard(**fields["shard"]), tuple(LeftOut(**entry) for entry in fields["left_out"]))
