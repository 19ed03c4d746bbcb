"""`python -m tfrecords_builder SOURCE RECORDS`."""

from rich.console import Console
from rich.table import Table

from tfrecords_builder.building.build import BuildConfig, build
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.manifest import Manifest


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
        console.print(f"left out: {len(content.left_out)} images, listed with their reasons in dataset.json")


def main(config: BuildConfig) -> None:
    """Builds and prints what was built."""
    startup.load_tensorflow()
    _print_summary(build(config))
    print(config.records)  # noqa: T201


if __name__ == "__main__":
    run(main, BuildConfig, "python -m tfrecords_builder")
