"""A split as it is stored: its folder, its manifest, and the part of it that this host reads."""

import dataclasses

import tensorflow as tf

from pipeline.input.hosts import HostShare, host_share
from tfrecords_builder import manifest, storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.records import Encoding, Split


@dataclasses.dataclass(frozen=True)
class StoredSplit:
    """The records of one split that this host reads."""

    folder: str
    """Folder of the records; a path or a URL."""
    content: Manifest
    share: HostShare
    lungs: bool = False
    """Whether batches hold the lung masks, too."""

    @property
    def side(self) -> int:
        """Side of the images, in pixels."""
        return self.content.preprocessing.image_size

    @property
    def encoding(self) -> Encoding:
        """How the images are stored."""
        return self.content.encoding

    @property
    def stored_bytes(self) -> int:
        """Bytes of all shards of the split, those of other hosts included."""
        return sum(shard.bytes for shard in self.content.splits[self.share.split].shards)

    def path(self, shard: str) -> str:
        """Path or URL of a shard. The records of a fold name shards in the folder above theirs (`../`)."""
        folder = self.folder.rstrip("/")
        while storage.is_url(folder) and shard.startswith("../"):  # not every storage knows `..`
            folder, shard = folder.rpartition("/")[0], shard.removeprefix("../")
        return storage.join(folder, shard)


def open_split(
    folder: str, split: Split, batch_size: int, host: tuple[int, int] = (0, 1), *, lungs: bool = False
) -> StoredSplit:
    """Finds the records of a split and checks that their shards are complete.

    Args:
        folder: folder of the records; a path or a URL.
        split: `train`, `val` or `test`.
        batch_size: images per batch.
        host: (index, count) of this host among those that share the records.
        lungs: whether batches hold the lung masks, too.

    Raises:
        UserError: if the folder has no such records, too few of them for so many hosts, or a shard that is
            missing or has another size than when it was written.
    """
    content = manifest.load(folder)
    stored = StoredSplit(folder, content, host_share(content, split, batch_size, host), lungs)
    _check_sizes(stored)
    return stored


def _check_sizes(stored: StoredSplit) -> None:
    written = {shard.name: shard.bytes for shard in stored.content.splits[stored.share.split].shards}
    for part in stored.share.parts:
        path = stored.path(part.shard)
        try:
            found = tf.io.gfile.stat(path).length
        except tf.errors.NotFoundError:
            raise UserError(f"{path!r} is missing: build the records again") from None
        if found != written[part.shard]:
            raise UserError(
                f"{path!r} has {found} bytes, but {written[part.shard]} were written: build the records again"
            )
