"""`python -m tfrecords_builder SOURCE RECORDS`: builds records. Its options are in `building/settings.py`."""

from rich.console import Console
from rich.table import Table

from tfrecords_builder import storage
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.manifest import Manifest


def main(config: BuildConfig) -> None:
    """Builds the records and prints a summary and their folder."""
    from tfrecords_builder.building.build import build

    if storage.is_url(config.records):
        startup.load_tensorflow()
    _print_summary(build(config))
    print(config.records)  # noqa: T201


def _print_summary(content: Manifest) -> None:
    table = Table()
    for heading in ("split", *content.class_names, "patients", "shards", "MiB"):
        table.add_column(heading, justify="right")
    for name, split in content.splits.items():
        mebibytes = sum(shard.bytes for shard in split.shards) / (1 << 20)
        counts = (*split.classes.values(), split.patients, len(split.shards), f"{mebibytes:.1f}")
        table.add_row(name, *map(str, counts))
    console = Console()
    console.print(table)
    if content.left_out:
        console.print(f"left out: {len(content.left_out)} images; dataset.json lists them with the reasons")


if __name__ == "__main__":
    run(main, BuildConfig, "python -m tfrecords_builder")
