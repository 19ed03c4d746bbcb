"""`dataset.json`: what a folder of records holds, how it was built, and which images were left out."""

import dataclasses
import hashlib
import json
from typing import Any

from tfrecords_builder import record_index, storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.records import CLASS_NAMES, Encoding, Split

FILE_NAME = "dataset.json"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Shard:
    """One finished file of records."""

    name: str
    records: int
    bytes: int
    sha256: str
    index_sha256: str | None = None
    """Digest of the index beside it (see `record_index`); None if an earlier version wrote the shard."""


@dataclasses.dataclass(frozen=True)
class SplitContent:
    """What one split holds."""

    shards: tuple[Shard, ...]
    classes: dict[str, int]
    """Number of images by class name."""
    patients: int
    """Number of patients."""
    lungs: int = 0
    """Number of records with a lung mask."""

    @property
    def records(self) -> int:
        """Number of records in all shards."""
        return sum(shard.records for shard in self.shards)

    @property
    def files(self) -> list[str]:
        """Names of all files: shards and their indexes."""
        indexed = [shard.name for shard in self.shards if shard.index_sha256 is not None]
        return [*(shard.name for shard in self.shards), *map(record_index.file_name, indexed)]


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """An image that is in the source but not in the records."""

    source: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The content of `dataset.json`."""

    preprocessing: Preprocessing
    encoding: Encoding
    builder_version: str
    arguments: dict[str, Any]
    """The options of the builder that decide, with the source, what is in the shards."""
    splits: dict[Split, SplitContent]
    left_out: tuple[LeftOut, ...] = ()
    class_names: tuple[str, ...] = CLASS_NAMES
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Returns the text of `dataset.json`. Its `sha256` is the digest of all other fields.

        The same content always gives the same text.
        """
        fields = dataclasses.asdict(self) | {"preprocessing": self.preprocessing.to_fields()}
        for content in fields["splits"].values():
            if not content["lungs"]:
                del content["lungs"]  # so that records without masks keep the text of earlier versions
            for shard in content["shards"]:
                if shard["index_sha256"] is None:
                    del shard["index_sha256"]  # for the same reason
        return _text(fields | {"sha256": _digest(fields)})

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Reads what `to_json` wrote.

        Raises:
            ValueError: if the text is not that of a dataset.json, has another format version, or was changed.
        """
        try:
            fields = json.loads(text)
            if fields["format_version"] != FORMAT_VERSION:
                raise ValueError(
                    f"it has format version {fields['format_version']}, this program reads {FORMAT_VERSION}"
                )
            if fields.pop("sha256") != _digest(fields):
                raise ValueError("its content does not match its sha256: it was changed after it was written")
            splits = {name: _split_content(content) for name, content in fields.pop("splits").items()}
            return cls(
                **fields
                | {
                    "preprocessing": Preprocessing.from_fields(fields["preprocessing"]),
                    "splits": splits,
                    "left_out": tuple(LeftOut(**entry) for entry in fields["left_out"]),
                    "class_names": tuple(fields["class_names"]),
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"its content is not that of a {FILE_NAME}: {error!r}") from None


def is_as_written(text: str) -> bool:
    """Whether a text of JSON is written as `to_json` writes it, whatever fields it has."""
    return _text(json.loads(text)) == text


def _text(fields: dict[str, Any]) -> str:
    return json.dumps(fields, indent=2, ensure_ascii=True) + "\n"


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(_text(fields).encode("ascii")).hexdigest()


def _split_content(fields: dict[str, Any]) -> SplitContent:
    return SplitContent(**fields | {"shards": tuple(Shard(**shard) for shard in fields["shards"])})


def load(records: str) -> Manifest:
    """Reads `dataset.json` of a records folder.

    Args:
        records: a path, or any URL that `tf.io.gfile` opens.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    try:
        return Manifest.from_json(read_text(records))
    except ValueError as error:
        raise UserError(f"{FILE_NAME} in {records!r} cannot be read: {error}") from None


def read_text(records: str) -> str:
    """Reads the text of `dataset.json` in a records folder.

    Raises:
        UserError: if there is none.
        ValueError: if it is not UTF-8.
    """
    path = storage.join(records, FILE_NAME)
    if not storage.exists(path):
        raise UserError(
            f"no {FILE_NAME} in {records!r}: build the records first with "
            f"`python -m tfrecords_builder SOURCE {records}`"
        )
    return storage.read(path)
