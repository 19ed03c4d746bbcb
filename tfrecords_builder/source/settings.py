"""How a source is read: the options that building and auditing share."""

import dataclasses
import re
from typing import Literal

POSITIVE_BY_DEFAULT = ("1", "PNEUMONIA")

Agreement = Literal["agree", "any-positive", "majority"]


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """Columns of a table and the meaning of its labels: only used if SOURCE is a table.

    Raises:
        ValueError: if the options cannot say an image and its class, or contradict each other.
    """

    path: str = "path"
    """Column of the paths of the image files."""
    label: str = "label"
    """Column that decides the class. A cell may hold several values, separated by `|`."""
    more_labels: tuple[str, ...] = ()
    """Further columns that decide the class, if each row has the labels of several readers."""
    positive: tuple[str, ...] = POSITIVE_BY_DEFAULT
    """Values that mean PNEUMONIA, in upper or lower case. Every other value, and an empty cell, means
    NORMAL, unless --table.negative lists what means NORMAL. The command prints what became of each value."""
    positive_pattern: str = ""
    """Regular expression that is searched in every cell, in upper or lower case. Cells in which it is found
    mean PNEUMONIA. It is used instead of --table.positive."""
    negative: tuple[str, ...] = ()
    """Values that mean NORMAL. If there are any, a value that is neither positive, negative nor left out is
    an error."""
    leave_out: tuple[str, ...] = ()
    """Values that say nothing, for example -1 (uncertain in CheXpert) or "" (an empty cell). An image without
    another label is left out."""
    readers: Agreement = "agree"
    """What the labels of several readers of one image become: they must agree, or one PNEUMONIA decides, or
    the majority decides (a tie is PNEUMONIA)."""
    patient: str | None = None
    """Column of the patients; by default `patient` if the table has it. Without a column, or where its cell
    is empty, the patient is read from a DICOM's PatientID, or else from the file name. An empty name uses no
    column."""
    split: str | None = None
    """Column of the splits (train, val or test); by default `split` if the table has it. Without a column,
    splits are drawn by patient. An empty name uses no column."""
    subtype: str | None = None
    """Column of the subtypes (bacteria, virus or empty); by default `subtype` if the table has it. Without a
    column, the subtype is read from the file name. An empty name uses no column."""
    images: str = ""
    """Folder that relative paths start from; by default the folder of the table. What is not there is looked
    for in the folders below it."""
    suffix: str = ""
    """Suffix that is added to every path, for example .dcm if the column has names without it."""

    def __post_init__(self) -> None:
        if not self.path or not self.label:
            raise ValueError(
                f"the columns of path and label must not be empty. Received: {self.path!r}, {self.label!r}"
            )
        if self.positive_pattern:
            self._check_pattern()
        elif not any(value.strip() for value in self.positive):
            raise ValueError(f"positive must have values that mean PNEUMONIA. Received: {self.positive}")

    def _check_pattern(self) -> None:
        if self.positive != POSITIVE_BY_DEFAULT:
            raise ValueError(
                "positive and positive_pattern cannot be used together. "
                f"Received: {self.positive}, {self.positive_pattern!r}"
            )
        try:
            re.compile(self.positive_pattern)
        except re.error as error:
            raise ValueError(
                f"positive_pattern must be a regular expression ({error}). "
                f"Received: {self.positive_pattern!r}"
            ) from None


@dataclasses.dataclass(frozen=True)
class SourceOptions:
    """What building and auditing have to know to find the same images in a source."""

    table: TableOptions = dataclasses.field(default_factory=TableOptions)
    dicom_patient_id: bool = True
    """Read the patient of a DICOM image from its PatientID. Otherwise, and where the PatientID is empty, the
    file name says who the patient is."""
    patient_digest: bool = False
    """Replace the identifier of every patient by a digest of it: the first 16 hexadecimal digits of its
    SHA-256. The paths of the images stay as they are."""
