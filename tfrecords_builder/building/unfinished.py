"""A build that is not complete: the settings it was begun with, and the shards that are finished.

All its files are in `RECORDS/unfinished/` until the last shard is finished: a build that is killed leaves no
other files, and the records that it replaces stay until then. A shard is finished when the JSON file that
describes it exists.
"""

import dataclasses
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tfrecords_builder import continuing, manifest, ownership, storage
from tfrecords_builder.building import records_folder
from tfrecords_builder.building.plan import PlannedShard
from tfrecords_builder.building.records_folder import REPLACED, SETTINGS, UNFINISHED, UNFINISHED_FILES
from tfrecords_builder.building.shard_writer import BuiltShard
from tfrecords_builder.manifest import LeftOut, Manifest, Shard


@dataclasses.dataclass(frozen=True)
class UnfinishedBuild:
    """The folder of a build that is not complete."""

    records: str
    """Folder of the records; a path or a URL."""

    @property
    def folder(self) -> str:
        """Folder of the finished shards, until they are published."""
        return storage.join(self.records, UNFINISHED)

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Begins the build, or continues one that was begun with the same settings.

        Raises:
            UserError: if it was begun with other settings; the message names the first difference.
        """
        began = f"{self.records!r} holds an unfinished build that was begun"
        continuing.begin_or_continue(storage.join(self.folder, SETTINGS), settings, began)
        self._remove_temporary_files()

    def _remove_temporary_files(self) -> None:
        """Removes what a killed process left, even one that was killed while it wrote the settings."""
        for name, _ in storage.entries(self.folder):
            if storage.TEMPORARY_NAME.fullmatch(name):
                storage.remove(storage.join(self.folder, name))

    def add(self, built: BuiltShard) -> None:
        """Marks a shard as finished."""
        description = json.dumps(dataclasses.asdict(built), indent=1) + "\n"
        storage.write(self._description(built.shard.name), description)

    def finished(self, plan: Sequence[PlannedShard]) -> dict[str, BuiltShard]:
        """Returns the shards of a plan that are finished, by name."""
        names = {name for name, _ in storage.entries(self.folder)}
        return {
            planned.name: _parse(storage.read(self._description(planned.name)))
            for planned in plan
            if _description_name(planned.name) in names
        }

    def publish(self, content: Manifest) -> None:
        """Moves all shards and indexes to the folder of the records, and dataset.json last.

        So whoever reads dataset.json finds all shards that it names. A publishing that was killed is
        continued.
        """
        published = storage.join(self.records, manifest.FILE_NAME)
        if storage.exists(published):
            storage.move(published, storage.join(self.folder, REPLACED))
        names = {name for split in content.splits.values() for name in split.files}
        self._remove_replaced_shards(keep=names)
        storage.write(storage.join(self.folder, manifest.FILE_NAME), content.to_json())
        still_here = {name for name, _ in storage.entries(self.folder)}
        for name in (*sorted(names & still_here), manifest.FILE_NAME):
            storage.move(storage.join(self.folder, name), storage.join(self.records, name))
        self.discard()

    def discard(self) -> None:
        """Removes the unfinished build, and the folder of the records if it is empty then."""
        if not storage.exists(storage.join(self.records, manifest.FILE_NAME)):
            self._remove_replaced_shards()
        ownership.delete_owned(self.folder, UNFINISHED_FILES, last=SETTINGS)
        for folder in (self.folder, self.records):
            storage.remove_empty_folder(folder)

    def discard_if_published(self) -> None:
        """Removes what a build left that was killed after it had published its last shard."""
        if not any(name.endswith(".tfrecord") for name, _ in storage.entries(self.folder)):
            self.discard()

    def _remove_replaced_shards(self, keep: Collection[str] = ()) -> None:
        """Removes shards of which no dataset.json is left, because a publishing has begun to replace them."""
        patterns = [
            pattern
            for name in (REPLACED, manifest.FILE_NAME)
            for pattern in records_folder.shard_patterns(storage.join(self.folder, name))
        ]
        for name, is_folder in list(storage.entries(self.records)):
            replaced = any(re.fullmatch(pattern, name) for pattern in patterns)
            if replaced and not is_folder and name not in keep:
                storage.remove(storage.join(self.records, name))

    def _description(self, shard: str) -> str:
        return storage.join(self.folder, _description_name(shard))


def _description_name(shard: str) -> str:
    return f"{shard}.json"


def _parse(description: str) -> BuiltShard:
    fields = json.loads(description)
    return BuiltShard(Shard(**fields["shard"]), tuple(LeftOut(**entry) for entry in fields["left_out"]))
