"""`python -m pipeline.operating_point RUN [RECORDS]`: chooses the threshold again, without training."""

import dataclasses
from typing import Annotated

import tyro

from pipeline.decision.operating_point import DEFAULT_TARGET_SENSITIVITY, OperatingPoint, Rule, RuleName
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.options import optional
from tfrecords_builder.records import Split


@dataclasses.dataclass(frozen=True)
class OperatingPointConfig:
    """Chooses the threshold of a finished run again: from which probability on an image is called PNEUMONIA.

    It replaces RUN/operating_point.json, and prints the threshold before and the new one, with what they
    reach. Evaluate and export the run again then. Without RECORDS the threshold is chosen on the images on
    which the training chose it: on val, or on the out-of-fold predictions of a training in folds.

    With --new-run it fits the run to a new site instead: calibration and threshold are fitted on some images
    of RECORDS and tested on the others, and a run folder is written that can be exported as a new version.
    RUN stays as it is. A site is refused if the model cannot tell its NORMAL from its PNEUMONIA images.
    """

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """Run folder of a finished training; a path or a URL."""
    records: Annotated[tyro.conf.Positional[str | None], optional("[RECORDS]")] = None
    """Folder of other labeled records, for example of the hospital where the model is used; a path or a URL.
    They must have been built with the same image size and border."""
    split: Split = "val"
    """Split of RECORDS."""
    rule: RuleName = "sensitivity"
    """What the threshold is chosen by. sensitivity: the highest specificity with at least the target
    sensitivity. specificity: the highest sensitivity with at least the target specificity. youden: the
    largest sum of both. cost: the lowest expected cost."""
    target: float = DEFAULT_TARGET_SENSITIVITY
    """The sensitivity or specificity that is asked for, above 0 and at most 1."""
    confidence: Annotated[float | None, optional("FLOAT")] = None
    """Choose the threshold so that the target holds with this confidence for other images of the same kind,
    for example 0.95; above 0 and below 1. By default it holds for the images that the threshold is chosen
    on."""
    missed_cost: float = 10.0
    """With the rule cost: how many false alarms are as bad as one missed pneumonia; above 0."""
    prevalence: Annotated[float | None, optional("FLOAT")] = None
    """With the rule cost: share of patients with pneumonia where the model is used, above 0 and below 1. By
    default that of the images."""
    new_run: Annotated[str | None, optional("NEW_RUN")] = None
    """Run folder to write for a new site, whose images are RECORDS; a path or a URL."""
    images: int = 100
    """With --new-run: number of images to fit on, at least 1. All images of a patient are together. The
    others are tested on."""
    seed: int = 0
    """With --new-run: seed of the draw of the images to fit on."""
    trust_labels: bool = False
    """If RUN was trained with --folds: also choose on images whose label seems wrong."""
    batch_size: int = 64
    """Number of images that the model classifies at once, at least 1."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "images"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}")
        if self.new_run is not None and self.records is None:
            raise ValueError("new_run needs RECORDS, the images of the new site")
        self.as_rule()  # refuses numbers out of range

    def as_rule(self) -> Rule:
        """The rule that the options describe."""
        return Rule(self.rule, self.target, self.confidence, self.missed_cost, self.prevalence)


def main(config: OperatingPointConfig) -> None:
    """Chooses, then prints both operating points."""
    if config.new_run is not None:
        _refit(config, config.new_run)
        return
    from pipeline.training.choose_again import choose_again

    choice = choose_again(
        config.run,
        config.records,
        config.split,
        config.as_rule(),
        trust_labels=config.trust_labels,
        batch_size=config.batch_size,
    )
    print(f"before: {_in_words(choice.before)}")  # noqa: T201
    print(f"now:    {_in_words(choice.chosen)}")  # noqa: T201


def _refit(config: OperatingPointConfig, new_run: str) -> None:
    from pipeline.site.refit import refit

    fitted = refit(
        config.run,
        str(config.records),
        config.split,
        new_run,
        images=config.images,
        rule=config.as_rule(),
        seed=config.seed,
        batch_size=config.batch_size,
    )
    print(fitted)  # noqa: T201
    print(new_run)  # noqa: T201


def _in_words(point: OperatingPoint) -> str:
    sure = "" if point.confidence is None else f"; confidence that the target holds {point.confidence:.3f}"
    return (
        f"threshold {point.threshold:.4f}, sensitivity {point.sensitivity:.3f} and specificity "
        f"{point.specificity:.3f} on {point.chosen_on} ({point.rule}){sure}"
    )


if __name__ == "__main__":
    run(
        main,
        OperatingPointConfig,
        "python -m pipeline.operating_point",
        load=startup.load_keras_on_tensorflow,
    )
