from collections.abc import Callable

import pytest

from tests.tfrecords_builder.source.tables import read as read_table
from tfrecords_builder.source.find import Source


@pytest.fixture
def write(tmp_path) -> Callable[..., str]:
    """Writes a CSV of rows under a header and an empty file for each image; returns the table's path."""

    def write_table(header: str, *rows: str, images: tuple[str, ...] = ()) -> str:
        for name in images:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "table.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return str(tmp_path / "table.csv")

    return write_table


@pytest.fixture
def read_labels(write) -> Callable[..., Source]:
    """Reads a table with one image for each label, and with options of the table."""

    def read(*labels: str, **options: object) -> Source:
        names = [f"{number}.png" for number in range(len(labels))]
        quoted = [label.replace('"', '""') for label in labels]
        rows = [f'{name},"{label}"' for name, label in zip(names, quoted, strict=True)]
        file = write("path,label", *rows, images=tuple(names))
        return read_table(file, **options)

    return read
