"""Reads the tables that tests have written."""

from pathlib import Path

from tfrecords_builder.source.find import Source, find_source_images
from tfrecords_builder.source.settings import SourceOptions, TableOptions


def read(file: str | Path, **options: object) -> Source:
    """Reads a table with options of the table."""
    return find_source_images(str(file), SourceOptions(TableOptions(**options)))
