"""Which columns of a table are read."""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

from tfrecords_builder.errors import UserError
from tfrecords_builder.source.settings import TableOptions

_COLUMNS_SHOWN = 20  # in an error message

_PATIENT_COLUMN = re.compile(
    r"(anon|anonymous|anonymized|deidentified|dicom|unique)?"
    r"(patients?|subjects?|participants?|persons?|individuals?|cases?|child|mrn|pid)"
    r"(ids?|identifiers?|no|nr|num|numbers?|codes?|keys?|index|names?|uids?|hash)?"
)
"""Names of columns that look like patients, in lower case, without punctuation and spaces."""


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns that are read; an optional one that the table lacks is empty."""

    path: str
    labels: tuple[str, ...]
    patient: str
    split: str
    subtype: str
    keep: tuple[str, ...]
    """Columns whose text is stored."""
    box: tuple[str, ...]
    """Columns of left, top, width and height of a box; empty if there are none."""

    @property
    def names(self) -> frozenset[str]:
        """All names, without the empty ones."""
        names = (self.path, *self.labels, self.patient, self.split, self.subtype, *self.keep, *self.box)
        return frozenset(filter(None, names))


def resolve_columns(file: str, names: Sequence[str], options: TableOptions) -> Columns:
    """Finds the columns that the options name, or that have the names of optional columns.

    Args:
        file: the table, for messages.
        names: the columns of the table.
        options: which columns are wanted.

    Raises:
        UserError: if the table lacks a column, or several columns have one name.
    """
    if twice := [name for name, count in Counter(names).items() if name and count > 1]:
        raise UserError(
            f"{file!r} has several columns {', '.join(map(repr, twice[:_COLUMNS_SHOWN]))}: rename or remove "
            "all but one"
        )

    def optional(field: str, name: str | None) -> str:
        return (field if field in names else "") if name is None else name

    columns = Columns(
        path=options.path,
        labels=(options.label, *options.more_labels),
        patient=optional("patient", options.patient),
        split=optional("split", options.split),
        subtype=optional("subtype", options.subtype),
        keep=options.keep,
        box=options.box,
    )
    options_of = [("path", columns.path), ("label", columns.labels[0])]
    options_of += [(field, getattr(columns, field)) for field in ("patient", "split", "subtype")]
    options_of += [("more-labels", name) for name in columns.labels[1:]]
    options_of += [(field, name) for field in ("keep", "box") for name in getattr(columns, field)]
    for field, name in options_of:
        if name and name not in names:
            raise UserError(
                f"{file!r} has no column {name!r}, it has {_shown(names)}: name the right column with "
                f"--table.{field}"
            )
    return columns


def columns_like_patients(names: Sequence[str], columns: Columns) -> list[str]:
    """The columns whose names look like those of patients, if no column of patients is read."""
    if columns.patient:
        return []
    plain_names = {name: re.sub(r"[\W_]", "", name).lower() for name in names}
    return [
        name
        for name, plain in plain_names.items()
        if name not in columns.names and _PATIENT_COLUMN.fullmatch(plain)
    ]


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_COLUMNS_SHOWN]))
    rest = len(names) - _COLUMNS_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown or "none"
