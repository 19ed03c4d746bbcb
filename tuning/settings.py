"""The settings of an architecture search: those of a training, and how many architectures are tried."""

import dataclasses
from typing import Literal

from pipeline.training.settings import MAY_DIFFER as MAY_DIFFER_IN_TRAINING
from pipeline.training.settings import TrainConfig

MAY_DIFFER = (*MAY_DIFFER_IN_TRAINING, "max_trials")
"""Settings that may change when a search continues."""


@dataclasses.dataclass(frozen=True)
class SearchConfig(TrainConfig):
    """Searches for the best architecture of the network and trains it into a run folder.

    The search varies the numbers of blocks, filters, convolutions and dense units, the dropout and the
    learning rate, so that --learning-rate and the --model options for these have no effect. Then it trains
    the best combination from the beginning, for --epochs with --patience. The other options apply to the
    trials and to this training alike.

    The same command continues a search that was stopped. With more --max-trials it extends the search, also
    one that is finished; the best combination is trained anew only if it is another one then. More --epochs
    extend its training.

    Raises:
        ValueError: if a search is impossible with these settings.
    """

    tuner: Literal["hyperband", "bayesian", "random"] = "hyperband"
    """How KerasTuner chooses the trials: `random` at random, `bayesian` from the results so far, `hyperband`
    by starting many trials with few epochs and giving more epochs to the best of them."""
    max_trials: int = 20
    """Number of trials, unless there are fewer combinations. Each trial trains one architecture with one
    learning rate. More than before extend a search."""
    trial_epochs: int = 8
    """Largest number of epochs of each trial."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.max_trials, self.trial_epochs) < 1:
            raise ValueError(
                "max_trials and trial_epochs must be at least 1. "
                f"Received: {self.max_trials}, {self.trial_epochs}"
            )

    def training(self) -> TrainConfig:
        """Those of the settings that a training has."""
        names = [field.name for field in dataclasses.fields(TrainConfig)]
        return TrainConfig(**{name: getattr(self, name) for name in names})
