"""docs/sources.md says what the code does."""

import dataclasses
import gzip
import os
import re
import sys
from pathlib import Path

import pytest

from tests.tfrecords_builder.source.tables import read
from tests.tfrecords_builder.source.test_folders import DICOM, JPEG, TIFF, add
from tfrecords_builder.decoding.dicom import import_pydicom
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, SPLITS
from tfrecords_builder.source.find import find_source_images
from tfrecords_builder.source.images import SUFFIXES
from tfrecords_builder.source.labels import LabelRules
from tfrecords_builder.source.names import SPLIT_NAMES, patient_and_subtype
from tfrecords_builder.source.settings import SourceOptions, TableOptions
from tfrecords_builder.source.table_rows import SUFFIXES as TABLE_SUFFIXES

PAGE = (Path(__file__).parents[3] / "docs/sources.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading, without backticks."""
    lines = PAGE[PAGE.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    return [
        [cell.strip().strip("`").replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
    ]


def test_names_of_splits():
    listed = {name: split for split, names in rows("split") for name in re.findall(r"\w+", names)}
    assert listed == SPLIT_NAMES
    assert [split for split, _ in rows("split")] == list(SPLITS)


def test_names_of_patients():
    for name, patient, subtype in rows("file name"):
        assert patient_and_subtype(name) == (patient, subtype)


def test_labels():
    rules = LabelRules.from_options(TableOptions())
    for cell, meaning in rows("cell"):
        value = "" if cell == "(empty)" else cell
        expected = f"{rules.meaning(value)}{', doubtful' if rules.is_doubtful(value) else ''}"
        assert (value, meaning) == (value, expected)


def test_suffixes():
    forms = ", ".join(form for form, _ in rows("form")).replace("`", "").split(", ")
    assert forms == list(TABLE_SUFFIXES)
    assert ", ".join(f"`{suffix}`" for suffix in SUFFIXES) in PAGE.replace("\n  ", " ")


def test_options():
    listed = [option for option, _ in rows("option")]
    fields = [field.name.replace("_", "-") for field in dataclasses.fields(TableOptions)]
    assert sorted(listed) == sorted(f"--table.{name}" for name in fields)
    switches = {field.name.replace("_", "-"): field.default for field in dataclasses.fields(SourceOptions)}
    del switches["table"]
    for name, is_on in switches.items():
        assert f"--no-{name}" in PAGE if is_on else f"--{name}" in PAGE


def folder_with(**files: bytes):
    def refuse(tmp_path: Path) -> None:
        add(tmp_path / "folder", **files)
        find_source_images(str(tmp_path / "folder"))

    return refuse


def table_with(*lines: str, **options: object):
    def refuse(tmp_path: Path) -> None:
        add(tmp_path, **{"1.png": b"", "2.png": b"", "a/3.png": b"", "b/3.png": b""})
        (tmp_path / "table.csv").write_text("\n".join(lines))
        read(tmp_path / "table.csv", **options)

    return refuse


def table_of_bytes(content: bytes, name: str = "table.csv"):
    def refuse(tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(content)
        read(tmp_path / name)

    return refuse


def missing(name: str):
    return lambda tmp_path: find_source_images(str(tmp_path / name))


def linked_twice(tmp_path: Path) -> None:
    add(tmp_path / "folder/train", **{"NORMAL/1.png": JPEG, "PNEUMONIA/2.png": JPEG})
    (tmp_path / "folder/train/PNEUMONIA/1.png").symlink_to(tmp_path / "folder/train/NORMAL/1.png")
    find_source_images(str(tmp_path / "folder"))


def not_listed(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        add(tmp_path / "folder/train/NORMAL", **{"1.png": JPEG})
        listed = os.scandir
        patch.setattr(os, "scandir", lambda path: listed(path if "NORMAL" not in path else f"{path}/no"))
        find_source_images(str(tmp_path / "folder"))


def without(module: str, refuse):
    def refuse_without(tmp_path: Path) -> None:
        import_pydicom.cache_clear()
        with pytest.MonkeyPatch.context() as patch:
            for name in (module, f"{module}.pixels", f"{module}.parquet"):
                patch.setitem(sys.modules, name, None)
            try:
                refuse(tmp_path)
            finally:
                import_pydicom.cache_clear()

    return refuse_without


BOTH = ("path,label", "1.png,1", "2.png,0")
REFUSALS = {
    "no folder": missing("missing"),
    "a file": table_of_bytes(b"", "labels.xlsx"),
    "no splits": folder_with(**{"images/1.png": JPEG}),
    "not listed": not_listed,
    "linked twice": linked_twice,
    "no images": folder_with(**{"train/NORMAL/1.tif": TIFF}),
    "no training images": folder_with(**{"val/NORMAL/1.png": JPEG, "val/PNEUMONIA/2.png": JPEG}),
    "one class": folder_with(**{"train/NORMAL/1.png": JPEG}),
    "no pydicom": without("pydicom", folder_with(**{"train/NORMAL/1": DICOM, "train/PNEUMONIA/2": DICOM})),
    "no pyarrow": without("pyarrow", missing("table.parquet")),
    "missing table": missing("table.csv"),
    "no parquet": table_of_bytes(b"text", "table.parquet"),
    "damaged": table_of_bytes(gzip.compress(b"path,label\n" * 99)[:40]),
    "utf-16": table_of_bytes("path,label\n".encode("utf-16-le")),
    "latin-1": table_of_bytes("päth,label\n".encode("latin-1")),
    "an open quote": table_of_bytes(b'path,label\n"1.png,1\n'),
    "cut off": table_with("path,label", "1.png"),
    "columns twice": table_with("path,path", "1.png,1"),
    "no column": table_with("file,label", "1.png,1"),
    "no rows": table_with("path,label"),
    "no path": table_with("path,label", ",1"),
    "wrong split": table_with("path,label,split", "1.png,1,holdout"),
    "wrong subtype": table_with("path,label,subtype", "1.png,1,AP"),
    "no box": table_with("path,label,x,y,w,h", "1.png,1,3,4,5,", box=("x", "y", "w", "h")),
    "contradiction": table_with(*BOTH, "1.png,0"),
    "contradiction in columns": table_with("path,label,b", "1.png,1,0", more_labels=("b",)),
    "two meanings": table_with(*BOTH, negative=("1",)),
    "unknown value": table_with(*BOTH, negative=("no",)),
    "all left out": table_with(*BOTH, leave_out=("0", "1"), positive=("2",)),
    "all are normal": table_with(*BOTH, positive=("2",)),
    "ambiguous": table_with(*BOTH, "3.png,1"),
    "no files": table_with("path,label", "8.png,1", "9.png,0"),
}


def patterns() -> dict[str, str]:
    """Regular expressions of the messages in the page."""
    return {
        message: ".*".join(re.escape(part) for part in message.split("…")) for message, _ in rows("message")
    }


def refusal(case: str, tmp_path: Path) -> str:
    with pytest.raises(UserError) as error:
        REFUSALS[case](tmp_path)
    return str(error.value)


@pytest.mark.parametrize("case", REFUSALS)
def test_every_refusal_is_in_the_page(case, tmp_path):
    message = refusal(case, tmp_path)

    assert any(re.fullmatch(pattern, message) for pattern in patterns().values()), message


def test_every_message_of_the_page_is_a_refusal(tmp_path):
    messages = []
    for number, case in enumerate(REFUSALS):
        (tmp_path / str(number)).mkdir()
        messages.append(refusal(case, tmp_path / str(number)))

    for shown, pattern in patterns().items():
        assert any(re.fullmatch(pattern, message) for message in messages), shown


def test_examples_name_options_that_exist():
    fields = {field.name.replace("_", "-") for field in dataclasses.fields(TableOptions)}
    assert set(re.findall(r"--table\.([\w-]+)", PAGE)) <= fields
    assert all(name in PAGE for name in CLASS_NAMES)
