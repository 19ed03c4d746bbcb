"""Finds the images of a source, whatever it is: building and auditing both begin here."""

import dataclasses
import logging
from collections.abc import Sequence

from tfrecords_builder.source.folders import find_images
from tfrecords_builder.source.images import SourceImage, check_classes
from tfrecords_builder.source.passed_over import PassedOver
from tfrecords_builder.source.patients import NamedImages, name_patients
from tfrecords_builder.source.settings import SourceOptions
from tfrecords_builder.source.table import images_folder, read_table
from tfrecords_builder.source.table_rows import is_table

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Source:
    """What a source holds."""

    folder: str
    """Folder that the paths of the images start from."""
    images: list[SourceImage]
    notes: list[str]
    """What the user should know about how the source was read, one line each."""


def find_source_images(source: str, options: SourceOptions | None = None) -> Source:
    """Finds the images of a folder or a table, and logs what the user should know about them.

    Args:
        source: a folder with {train,val,test}/{NORMAL,PNEUMONIA}, or a table.
        options: how it is read; None means the defaults.

    Raises:
        UserError: if the source cannot be read or has no usable images, or if it needs pydicom or pyarrow and
            they are not installed.
    """
    read = _read_table if is_table(source) else _read_folder
    found = read(source, options or SourceOptions())
    for note in found.notes:
        logger.warning("%s", note)
    return found


def _read_folder(folder: str, options: SourceOptions) -> Source:
    passed_over = PassedOver()
    found, notes = find_images(folder, passed_over)
    if text := str(passed_over):
        notes.append(text)
    check_classes(folder, found, text)
    named = name_patients(folder, found, options)
    return Source(folder, named.images, [*notes, *_notes_about_patients(named, [])])


def _read_table(file: str, options: SourceOptions) -> Source:
    listed = read_table(file, options.table)
    folder = images_folder(file, options.table)
    named = name_patients(folder, listed.images, options)
    columns = listed.columns_like_patients if options.table.patient is None else []
    return Source(folder, named.images, [*listed.notes, *_notes_about_patients(named, columns)])


def _notes_about_patients(named: NamedImages, columns_like_patients: Sequence[str]) -> list[str]:
    """A warning where images of one patient may be in several splits, as nothing says who is on them."""
    num_images, num_patients = len(named.images), len({image.patient for image in named.images})
    if named.unknown:
        what = (
            f"nothing says who is on {len(named.unknown)} of {num_images} images (first "
            f"{named.unknown[0].source!r}), so each counts as a patient of its own"
        )
    elif num_patients == num_images:
        what = f"every image has a patient of its own ({num_patients} patients)"
    elif columns_like_patients:
        what = f"{num_patients} patients of {num_images} images were read from the images and their names"
    else:
        return []
    if columns_like_patients:
        columns = " or ".join(map(repr, columns_like_patients))
        remedy = (
            f'column {columns} looks like one of patients: choose it with --table.patient, or none with ""'
        )
    else:
        remedy = "images of one patient may be in several splits; docs/sources.md tells how to name patients"
    return [f"{what}; {remedy}"]
