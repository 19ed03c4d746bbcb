"""How a source is read: the options that building and auditing share."""

import dataclasses
import re
from typing import Annotated, Literal

from tfrecords_builder.cli.options import optional

POSITIVE_BY_DEFAULT = ("1", "PNEUMONIA")

Agreement = Literal["agree", "any-positive", "majority"]


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """Which columns of a table are read, and what its labels mean. Only used if SOURCE is a table.

    Raises:
        ValueError: if the options cannot say an image and its class, or contradict each other.
    """

    path: str = "path"
    """Column with the paths of the image files."""
    label: str = "label"
    """Column that decides the class. A cell may hold several values, separated by `|`."""
    more_labels: Annotated[tuple[str, ...], optional("[COLUMN ...]")] = ()
    """More columns that decide the class, if each row has the labels of several readers."""
    positive: tuple[str, ...] = POSITIVE_BY_DEFAULT
    """Values that mean PNEUMONIA, in upper or lower case. Every other value, and an empty cell, means NORMAL,
    unless --table.negative is given. The command prints what each value became."""
    positive_pattern: Annotated[str, optional("REGEX")] = ""
    """Regular expression to use instead of --table.positive. A cell means PNEUMONIA if the expression is
    found in it, in upper or lower case."""
    negative: Annotated[tuple[str, ...], optional("[VALUE ...]")] = ()
    """Values that mean NORMAL. If any are given, a value that is neither positive, negative nor left out is
    an error."""
    leave_out: Annotated[tuple[str, ...], optional("[VALUE ...]")] = ()
    """Values that say nothing about the class, for example -1 (uncertain in CheXpert) or '' (an empty cell).
    An image without any other label is left out."""
    readers: Agreement = "agree"
    """How the labels of several readers of one image become one. agree: it is an error if they differ.
    any-positive: one PNEUMONIA is enough. majority: most readers decide, and a tie is PNEUMONIA."""
    patient: Annotated[str | None, optional("COLUMN")] = None
    """Column with the patients; by default `patient`, if the table has it. Pass '' to ignore such a column.
    Where no cell names the patient, the PatientID of a DICOM image does, or else the file name."""
    split: Annotated[str | None, optional("COLUMN")] = None
    """Column with the splits (train, val or test); by default `split`, if the table has it. Pass '' to ignore
    such a column. Without a column, splits are drawn by patient."""
    subtype: Annotated[str | None, optional("COLUMN")] = None
    """Column with the subtypes (bacteria, virus or empty); by default `subtype`, if the table has it. Pass ''
    to ignore such a column. Without a column, the subtype is read from the file name."""
    keep: Annotated[tuple[str, ...], optional("[COLUMN ...]")] = ()
    """Columns whose text is stored with every image, for example age, sex, view or site. An evaluation tells
    for which of their values the model is worse."""
    box: Annotated[tuple[str, ...], optional("[LEFT TOP WIDTH HEIGHT]")] = ()
    """The four columns of a box around a lesion, in pixels of the original image: left, top, width and height
    (in RSNA's table x y width height). An image with several lesions has a row for each of them; a row whose
    four cells are empty has none. An evaluation tells whether the explanations point at the lesions."""
    images: Annotated[str, optional("FOLDER")] = ""
    """Folder that relative paths start from; by default the folder of the table. Images that are not there
    are searched for in the folders below it."""
    suffix: Annotated[str, optional("SUFFIX")] = ""
    """Suffix to add to every path that lacks it, for example .dcm if the column has names without it."""

    def __post_init__(self) -> None:
        if not self.path or not self.label:
            raise ValueError(
                f"the columns of path and label must not be empty. Received: {self.path!r}, {self.label!r}"
            )
        if self.box and len(self.box) != len(("left", "top", "width", "height")):
            raise ValueError(f"box must name four columns: left top width height. Received: {self.box}")
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
    """Take the patient of a DICOM image from its PatientID. With --no-dicom-patient-id, or if the PatientID
    is empty, the patient is read from the file name."""
    patient_digest: bool = False
    """Replace the identifier of every patient by a digest: the first 16 hexadecimal digits of its SHA-256.
    The paths of the images are not changed, although they may name patients."""
