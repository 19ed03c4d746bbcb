"""How tables are written: separators, encodings, compression and what spreadsheets add."""

import csv
import gzip
import sys

import pyarrow
import pyarrow.parquet
import pytest

from tests.tfrecords_builder.source.tables import read
from tfrecords_builder.errors import UserError
from tfrecords_builder.source.table_rows import is_table

TEXT = 'path,label,note\n1.png,1,"two\nlines, and a comma"\n2.png,0,\n'
EXPECTED = {"1.png": 1, "2.png": 0}


@pytest.fixture(autouse=True)
def _images(tmp_path):
    for name in EXPECTED:
        (tmp_path / name).touch()


def labels(file, **options) -> dict[str, int]:
    return {image.source: image.label for image in read(file, **options).images}


def lines(*cells: list[str], separator: str, end: str = "\n") -> bytes:
    return "".join(separator.join(row) + end for row in cells).encode()


TABLE = (["path", "label", "note"], ["1.png", "1", "a"], ["2.png", "0", ""])

FILES = {
    "comma.csv": lines(*TABLE, separator=","),
    "semicolon.csv": lines(*TABLE, separator=";"),
    "tab.csv": lines(*TABLE, separator="\t"),
    "tab.tsv": lines(*TABLE, separator="\t"),
    "comma.tsv": lines(*TABLE, separator=","),
    "tab.txt": lines(*TABLE, separator="\t"),
    "semicolon.TXT": lines(*TABLE, separator=";"),
    "quotes.csv": TEXT.encode(),
    "commas in a header with semicolons.csv": b"path;label;size (width, height)\n1.png;1;1\n2.png;0;2\n",
    "compressed.csv.gz": gzip.compress(TEXT.encode()),
    "compressed.tsv.gz": gzip.compress(lines(*TABLE, separator="\t")),
    "compressed without the suffix.csv": gzip.compress(TEXT.encode()),
    "not compressed.csv.gz": TEXT.encode(),
    "windows.csv": lines(*TABLE, separator=",", end="\r\n"),
    "old mac.csv": lines(*TABLE, separator=",", end="\r"),
    "without a last line end.csv": TEXT.strip().encode(),
    "utf-8 with its mark.csv": TEXT.encode("utf-8-sig"),
    "utf-16.csv": TEXT.encode("utf-16"),
    "utf-16 big endian.txt": b"\xfe\xff" + TEXT.replace(",", "\t").encode("utf-16-be"),
    "excel says the separator.csv": b"sep=;\r\n" + lines(*TABLE, separator=";", end="\r\n"),
    "empty lines.csv": b"\n\n" + TEXT.encode() + b"\r\n\n  \n,,\n , ,\n",
    "empty columns.csv": b"path,label,,\n1.png,1,,\n2.png,0,,\n",
    "empty columns in the header alone.csv": b"path,label,,\n1.png,1\n2.png,0,\n",
    "a column without a name.csv": b"path,label,\n1.png,1,note\n2.png,0,\n",
    "more commas than columns.csv": b"path,label\n1.png,1,,\n2.png,0,\n",
    "spaces.csv": b" path , label \n 1.png , 1 \n2.png,0\n",
    "thousands of columns.csv": lines(
        ["path", "label", *map(str, range(3000))], ["1.png", "1", *["x"] * 3000],
        ["2.png", "0", *["x"] * 3000], separator=",",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_tables_as_programs_write_them(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])

    assert is_table(str(tmp_path / name))
    assert labels(tmp_path / name) == EXPECTED


def test_umlauts_and_columns_in_quotes(tmp_path):
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "t.csv").write_bytes(
            '"Päth";"Befund; Text"\r\n1.png;Lungenentzündung\r\n2.png;gesund\r\n'.encode(encoding)
        )
        options = {"path": "Päth", "label": "Befund; Text", "positive": ("Lungenentzündung",)}
        assert labels(tmp_path / "t.csv", **options) == EXPECTED


WRONG = {
    "latin-1": ("Päth,label\n".encode("latin-1"), "not a table of separated values in UTF-8 or UTF-16"),
    "utf-16 without its mark": (TEXT.encode("utf-16-le"), "zero bytes.*save it as UTF-8"),
    "cut off": (b"path,label\n1.png,1\n2.png", "row 3 has 1 cells, the header has 2 columns"),
    "too many cells": (b"path,label\n1.png,1,2\n", "row 2 has 3 cells, the header has 2 columns"),
    "an open quote": (b'path,label\n1.png,1\n2.png,"0\n3.png,1\n', "unexpected end of data"),
    "text after a quote": (b'path,label\n1.png,"a"b\n', "expected after"),
    "a long cell": (b"path,label\n" + b"x" * (csv.field_size_limit() + 1), "field larger than"),
    "a binary file": (bytes(range(256)) * 9, "table"),
    "compressed and cut off": (gzip.compress(TEXT.encode() * 999)[:60], "cannot be decompressed"),
    "compressed and damaged": (b"\x1f\x8b\x08" + b"\xff" * 99, "cannot be decompressed"),
    "empty": (b"", "no column 'path', it has none"),
    "the same name twice": (
        b"path,label,age,label,age\n",
        "several columns 'label', 'age': rename or remove",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, name):
    content, complaint = WRONG[name]
    (tmp_path / "table.csv").write_bytes(content)

    with pytest.raises(UserError, match=complaint) as refusal:
        read(tmp_path / "table.csv")
    assert "table.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_of_thousands_of_columns_the_first_are_named(tmp_path):
    (tmp_path / "t.csv").write_text(",".join(f"gene{number}" for number in range(5000)) + "\n")

    with pytest.raises(UserError, match="'gene19' and 4980 more: name the right column") as refusal:
        read(tmp_path / "t.csv")
    assert len(str(refusal.value)) < 500


def test_missing_files_are_named(tmp_path):
    for name in ("missing.csv", "missing.csv.gz", "missing.parquet"):
        with pytest.raises(UserError, match=f"{name}' cannot be read"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "values",
    [
        ["Pneumonia", "Normal", None],
        [1, 0, None],
        [1.0, 0.0, float("nan")],
        [True, False, None],
        [b"1", b"0", b""],
        [["Effusion", "Pneumonia"], ["Effusion"], []],
    ],
    ids=["text", "int", "float", "bool", "bytes", "list"],
)
def test_parquet_gives_the_same_images_as_csv(tmp_path, values):
    columns = {"path": ["1.png", "2.png", "c.png"], "label": values, "patient": [11.0, 12.0, None]}
    table = pyarrow.table(columns | {"picture": [b"\0" * 9] * 3})
    pyarrow.parquet.write_table(table, tmp_path / "table.parquet", row_group_size=2)

    images = read(tmp_path / "table.parquet").images

    assert [(image.source, image.label, image.patient) for image in images] == [
        ("1.png", 1, "11"), ("2.png", 0, "12"), ("c.png", 0, "c"),
    ]  # fmt: skip


def test_what_is_no_parquet_is_refused(tmp_path):
    file = tmp_path / "table.parquet"
    file.write_bytes(b"\xff\xfe\x00noise")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        read(file)
    table = pyarrow.table({"path": [f"{n}.png" for n in range(999)], "label": [n % 2 for n in range(999)]})
    pyarrow.parquet.write_table(table, file, write_page_checksum=False)
    damaged = bytearray(file.read_bytes())
    damaged[4:400] = b"\xff" * 396
    file.write_bytes(damaged)
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        read(file)


def test_without_pyarrow_the_extra_is_named_and_csv_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    with pytest.raises(UserError, match=r"chest-xray-pipeline\[parquet\]"):
        read("table.parquet")
    (tmp_path / "t.csv").write_text(TEXT)
    assert labels(tmp_path / "t.csv") == EXPECTED


def test_a_table_is_recognized_by_its_suffix(tmp_path):
    (tmp_path / "folder.csv").mkdir()

    for name in ("table.csv", "TABLE.PARQUET", "a.tsv", "a.txt", "a.csv.gz", "A.TSV.GZ"):
        assert is_table(f"a/{name}")
    for name in ("chest_xray", "table.xlsx", "csv", "table.gz"):
        assert not is_table(f"a/{name}")
    assert not is_table(str(tmp_path / "folder.csv"))
