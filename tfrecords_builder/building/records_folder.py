"""Which files in a records folder the builder wrote: dataset.json, the shards it names, and unfinished/."""

import re

from tfrecords_builder import manifest, storage
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.ownership import OwnedFiles, below, has_signature

UNFINISHED = "unfinished"
"""Folder in RECORDS of a build that is not complete."""
SETTINGS = "begun-with.json"
"""File in UNFINISHED: the settings of that build."""
REPLACED = "replaced.json"
"""File in UNFINISHED: the dataset.json of the records that are being replaced."""

_ANY_SHARD = r"(train|val|test)-\d{5}-of-\d{5}\.(tfrecord|index)"
_SIGNATURE = b'"builder_version"'

UNFINISHED_FILES = OwnedFiles(
    "an unfinished build",
    {
        **{re.escape(name): _SIGNATURE for name in (SETTINGS, REPLACED, manifest.FILE_NAME)},
        rf"{_ANY_SHARD}(\.json)?": b"",
    },
)


def owned_files(records: str) -> OwnedFiles:
    """The files of the builder in a records folder; a path or a URL.

    Other programs give their files such names, too. So a shard is the builder's only if a dataset.json of the
    builder names it, and a shard of an unfinished build only if the settings of that build are beside it.
    """
    manifests = (manifest.FILE_NAME, f"{UNFINISHED}/{REPLACED}", f"{UNFINISHED}/{manifest.FILE_NAME}")
    shards = [pattern for path in manifests for pattern in shard_patterns(storage.join(records, path))]
    signatures = {re.escape(manifest.FILE_NAME): _SIGNATURE, **dict.fromkeys(shards, b"")}
    signatures |= below(UNFINISHED, {re.escape(SETTINGS): _SIGNATURE})
    if has_signature(storage.join(records, UNFINISHED, SETTINGS), _SIGNATURE):
        signatures |= below(UNFINISHED, UNFINISHED_FILES.signatures)
    return OwnedFiles("a folder of records", signatures)


def shard_patterns(path: str) -> list[str]:
    """Regular expressions of the names of the shards and indexes that a dataset.json of the builder names."""
    if not has_signature(path, _SIGNATURE):
        return []
    try:
        content = Manifest.from_json(storage.read(path))
    except ValueError:  # it is damaged
        return [_ANY_SHARD]
    return [re.escape(name) for split in content.splits.values() for name in split.files]
