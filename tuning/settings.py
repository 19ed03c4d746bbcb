"""The settings of an architecture search: those of a training, and how many architectures are tried."""

import dataclasses
from typing import Annotated, Literal

from pipeline.training.settings import MAY_DIFFER as MAY_DIFFER_IN_TRAINING
from pipeline.training.settings import TrainConfig
from tfrecords_builder.cli.options import optional
from tuning.space import Preset, Value, parse_fixed

Tuner = Literal["hyperband", "bayesian", "random"]

MAY_DIFFER = (
    *MAY_DIFFER_IN_TRAINING,
    "max_trials",
    "max_time",
    "workers",
    "finalists",
    "seeds",
    "folds",
    "fold_networks",
    "trust_labels",
    "finish",
)
"""Settings that may change when a search continues."""


@dataclasses.dataclass(frozen=True)
class SearchConfig(TrainConfig):
    """Searches for the best architecture of the network, trains it and writes a run folder.

    The search has two parts. First it tries combinations of settings; each try is a short training, a trial,
    with a score. The first trial has the settings that are given here. Then the best combination is trained
    from the beginning: the final training. --epochs, --patience and --folds are those of the final training.
    --space names the settings that are searched, and --fix takes some of them out. The other options of a
    training apply to both parts.

    The same command continues a search that was stopped. With more --max-trials or --max-time it extends a
    search, even one that is finished; the final training is repeated only if another combination is the best
    then. With more --epochs it extends the final training.

    Raises:
        ValueError: if a search is impossible with these settings.
    """

    epochs: int = 30
    """Maximum number of epochs of the final training, at least 1. An epoch is one pass over all training
    images. The length of the trials is --trial-epochs."""
    tuner: Tuner = "hyperband"
    """How KerasTuner chooses the trials. `random` chooses at random, `bayesian` from the results so far.
    `hyperband` starts many trials with few epochs and gives more epochs to the best of them."""
    space: Preset = "default"
    """What is searched. `small`: depth, width, squeeze-and-excitation, dropout and learning rate. `default`:
    also the kind of the blocks, downsampling, activation, pooling, dense units, weight decay, label
    smoothing and the strength of the augmentation's geometry. `wide`: also kernel size, normalization, lung
    loss, moving average, batch size and the strength of all augmentation."""
    fix: Annotated[tuple[str, ...], optional("[NAME=VALUE ...]")] = ()
    """Settings that are not searched, each as NAME=VALUE, for example model.blocks=4 learning_rate=0.002.
    docs/search.md lists the names; a wrong one is answered with all of them."""
    max_trials: int = 23
    """Number of trials, at least 1; there are fewer if there are not so many combinations. A larger number
    than before extends a search. The default is what one complete round of Hyperband needs when a trial has
    at most 9 epochs."""
    max_time: Annotated[float | None, optional("MINUTES")] = None
    """Longest time of all trials together, in minutes, above 0; by default there is no limit. The search
    stops within an epoch; a trial under way continues if the search gets more time."""
    max_params: Annotated[int | None, optional("INT")] = None
    """Largest number of weights of a network, above 0; by default there is no limit. Larger networks are not
    trained."""
    max_latency_ms: Annotated[float | None, optional("MILLISECONDS")] = None
    """Longest time, above 0 milliseconds, in which the network computes the probability of one image on one
    core of the CPU; by default there is no limit. A trial that takes longer is refused when it is scored."""
    trial_epochs: int = 9
    """Maximum number of epochs of each trial, at least 1."""
    median_stopping: bool = True
    """Stop a trial that is worse than the median of the other trials at the same epoch. Hyperband has a rule
    of its own instead."""
    workers: int = 1
    """Number of processes that train trials at the same time, at least 0. Each gets its share of the cores,
    and a GPU of its own where there are several. If a process runs out of memory, only its trial fails. With
    0 there is no extra process: the search itself trains, and each trial uses all GPUs of the machine."""
    finalists: int = 1
    """Number of the best combinations that are trained in full before the best one is chosen, at least 1."""
    seeds: int = 1
    """Number of full trainings of each finalist, which differ in their seed, at least 1. The combination with
    the best mean score wins."""
    fold_networks: int = 1
    """With --folds: number of the best combinations that the folds take in turn, at least 1. The average of
    networks that differ gains a little more than that of equal ones. Only combinations take part whose last
    feature maps have the height and width of the winner's."""
    finish: bool = False
    """Start no further trial: train the best combination that was found so far."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers < 0:
            raise ValueError(f"workers must not be negative. Received: {self.workers}")
        for name in ("max_trials", "trial_epochs", "finalists", "seeds", "fold_networks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}")
        for name in ("max_time", "max_params", "max_latency_ms"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0. Received: {value}")
        parse_fixed(self.fix)

    @property
    def fixed(self) -> dict[str, Value]:
        """The values of the parameters that are not searched."""
        return parse_fixed(self.fix)

    def training(self) -> TrainConfig:
        """Those of the settings that a training has."""
        names = [field.name for field in dataclasses.fields(TrainConfig)]
        return TrainConfig(**{name: getattr(self, name) for name in names})
