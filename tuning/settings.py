"""The settings of an architecture search: those of a training, and how many architectures are tried."""

import dataclasses
from typing import Literal

from pipeline.training.settings import MAY_DIFFER as MAY_DIFFER_IN_TRAINING
from pipeline.training.settings import TrainConfig

MAY_DIFFER = (*MAY_DIFFER_IN_TRAINING, "max_trials")
"""Settings that may change when a search continues."""


@dataclasses.dataclass(frozen=True)
class SearchConfig(TrainConfig):
    """Searches for the best architecture of the network, trains it and writes a run folder.

    The search has two parts. First it tries combinations of the numbers of blocks, filters, convolutions and
    dense units, of the dropout and of the learning rate; each try is a short training, a trial. Then it
    trains the best combination from the beginning: the final training. --epochs and --patience are those of
    the final training. The search chooses the learning rate, the filters, the convolutions, the dense units
    and the dropout, so the options of these names do not change the result; but more --model.filters than
    the size of the images allows are refused. All other options apply to both parts.

    The same command continues a search that was stopped. With more --max-trials it extends a search, even one
    that is finished; the final training is repeated only if another combination is the best then. With
    more --epochs it extends the final training.

    Raises:
        ValueError: if a search is impossible with these settings.
    """

    epochs: int = 30
    """Maximum number of epochs of the final training, at least 1. An epoch is one pass over all training
    images. The length of the trials is --trial-epochs."""
    tuner: Literal["hyperband", "bayesian", "random"] = "hyperband"
    """How KerasTuner chooses the trials. `random` chooses at random, `bayesian` from the results so far.
    `hyperband` starts many trials with few epochs and gives more epochs to the best of them."""
    max_trials: int = 20
    """Number of trials, at least 1; there are fewer if there are not so many combinations. A larger number
    than before extends a search."""
    trial_epochs: int = 8
    """Maximum number of epochs of each trial, at least 1."""

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
