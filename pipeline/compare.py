"""`python -m pipeline.compare RUN RUN ...`: compares runs that have evaluated the same images."""

import dataclasses
from typing import Annotated

import tyro

from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.options import optional


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Compares runs that have evaluated the same images: is a difference more than chance?

    Prints the figures of every run, and how each differs from the first one. Writes them to OUTPUT:
    comparison.html (a page), comparison.json (all figures) and disagreements.csv (the images to which the
    runs give different labels). The runs may have been trained with different image sizes and borders.
    """

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], optional("RUN RUN [RUN ...]")]
    """Run folders that `python -m pipeline.evaluate` has evaluated; paths or URLs. The others are compared
    with the first one."""
    evaluation: Annotated[str | None, optional("NAME")] = None
    """Folder below RUN/evaluation/ whose predictions are compared, for example records-test. By default the
    only one that all runs have."""
    records: Annotated[str | None, optional("RECORDS")] = None
    """Folder of records with the same images. By default the page shows no pictures."""
    output: str = "comparison"
    """Folder to write; a path or a URL."""

    def __post_init__(self) -> None:
        if len(self.runs) < 2:  # noqa: PLR2004
            raise ValueError(f"runs must be at least two. Received: {' '.join(self.runs) or 'none'}")


def main(config: CompareConfig) -> None:
    """Compares, then prints the figures and the path of the page."""
    from pipeline.comparison.report import compare

    comparison = compare(config.runs, config.output, config.evaluation, config.records)
    for of_run in comparison.runs:
        print(  # noqa: T201
            f"{of_run.run}: AUC {of_run.auc}, sensitivity {of_run.sensitivity}, "
            f"specificity {of_run.specificity}"
        )
    for one in comparison.differences:
        print(  # noqa: T201
            f"{one.run} less {comparison.runs[0].run}: AUC {one.auc_difference}, "
            f"DeLong's p {one.delong_p_value:.3f}"
        )
    print(f"{config.output.rstrip('/')}/comparison.html")  # noqa: T201


if __name__ == "__main__":
    run(main, CompareConfig, "python -m pipeline.compare")
