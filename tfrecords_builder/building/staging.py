"""A build that has begun: what it was begun with, and the shards it has finished.

All of it lies in `RECORDS/unfinished/` until the last shard is whole: a build that was killed leaves nothing
else behind, and records that are replaced stay until they can be. A shard is finished when the JSON file that
describes it is there.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

from tfrecords_builder import manifest
from tfrecords_builder.building.plan import PlannedShard
from tfrecords_builder.building.shards import BuiltShard
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import LeftOut, Manifest, Shard

FOLDER = "unfinished"
BEGUN_WITH = "begun-with.json"


@dataclasses.dataclass(frozen=True)
class UnfinishedBuild:
    """The folder of a build under way."""

    records: str
    """Folder of the records; a path or a URL, without `/` at its end."""

    @property
    def folder(self) -> str:
        """Where finished shards wait."""
        return f"{self.records}/{FOLDER}"

    def begin(self, arguments: dict[str, Any]) -> None:
        """Notes what the build is begun with, or checks it against what it was begun with before.

        Raises:
            UserError: naming the first difference.
        """
        import tensorflow as tf

        tf.io.gfile.makedirs(self.folder)
        path = f"{self.folder}/{BEGUN_WITH}"
        if not tf.io.gfile.exists(path):
            _write(path, json.dumps(arguments, indent=2) + "\n")
            return
        before = json.loads(_read(path))
        for name, value in json.loads(json.dumps(arguments)).items():
            if before.get(name) != value:
                raise UserError(
                    f"{self.records!r} holds an unfinished build begun with {name}={before.get(name)}, "
                    f"not {value}: give the same arguments to continue it, or start anew with --overwrite"
                )
        for name in tf.io.gfile.listdir(self.folder):
            if name.endswith(".tmp"):  # of the process that was killed
                tf.io.gfile.remove(f"{self.folder}/{name}")

    def note(self, built: BuiltShard) -> None:
        """Notes a shard as finished."""
        _write(self._description(built.shard.name), json.dumps(dataclasses.asdict(built), indent=1) + "\n")

    def finished(self, plan: Sequence[PlannedShard]) -> dict[str, BuiltShard]:
        """The shards of a plan that are finished, by name."""
        import tensorflow as tf

        there = set(tf.io.gfile.listdir(self.folder))
        return {
            shard.name: _built(_read(self._description(shard.name)))
            for shard in plan
            if _description_name(shard.name) in there
        }

    def publish(self, content: Manifest) -> None:
        """Puts all shards in their place, `dataset.json` last: who reads it finds all that it names."""
        import tensorflow as tf

        final = f"{self.records}/{manifest.FILE_NAME}"
        names = {shard.name for split in content.splits.values() for shard in split.shards}
        waiting = set(tf.io.gfile.listdir(self.folder))
        if tf.io.gfile.exists(final):
            tf.io.gfile.remove(final)
        for old in tf.io.gfile.glob(f"{self.records}/*.tfrecord"):
            if old.rpartition("/")[2] not in names:
                tf.io.gfile.remove(old)
        for name in sorted(names & waiting):  # a publishing that was killed has moved the others
            tf.io.gfile.rename(f"{self.folder}/{name}", f"{self.records}/{name}", overwrite=True)
        _write(final, content.to_json())
        self.discard()

    def discard(self) -> None:
        """Removes the unfinished build, and the folder of the records if nothing else is in it."""
        import tensorflow as tf

        with contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.rmtree(self.folder)
            if not tf.io.gfile.listdir(self.records):
                tf.io.gfile.rmtree(self.records)

    def _description(self, shard: str) -> str:
        return f"{self.folder}/{_description_name(shard)}"


def _description_name(shard: str) -> str:
    return f"{shard}.json"


def _built(text: str) -> BuiltShard:
    fields = json.loads(text)
    return BuiltShard(Shard(**fields["shard"]), tuple(LeftOut(**entry) for entry in fields["left_out"]))


def _read(path: str) -> str:
    import tensorflow as tf

    with tf.io.gfile.GFile(path) as file:
        return str(file.read())


def _write(path: str, text: str) -> None:
    import tensorflow as tf

    unfinished = f"{path}.{os.getpid()}.tmp"
    with tf.io.gfile.GFile(unfinished, "w") as file:
        file.write(text)
    tf.io.gfile.rename(unfinished, path, overwrite=True)
