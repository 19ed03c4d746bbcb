"""A search for tests: architectures that train in a second, or that are not trained at all."""

import dataclasses
import gc

import keras
import numpy as np

from pipeline.training.recipe import MONITOR
from tuning import architecture_search
from tuning.leaderboard import AUC
from tuning.settings import SearchConfig
from tuning.space import SearchSpace


def quick_search(records, run, **settings) -> SearchConfig:
    defaults = {
        "epochs": 1,
        "batch_size": 32,
        "precision": "float32",
        "max_trials": 2,
        "trial_epochs": 2,
        "tuner": "random",
    }
    return SearchConfig(records=str(records), run=str(run), **defaults | settings)


def search_small_architectures(monkeypatch) -> None:
    """Lets searches choose between four small architectures."""

    def training_config(self, hp):
        width = hp.Choice("first_filters", [2, 3, 4, 5])
        model = dataclasses.replace(self.base.model, filters=(width, width), convolutions=1)
        return dataclasses.replace(self.base, model=model)

    monkeypatch.setattr(SearchSpace, "training_config", training_config)


def pretend_to_train(monkeypatch, losses, *, best: bool = True) -> list[str]:
    """Gives the next trials these validation losses, without training them, and without training the best.

    Args:
        monkeypatch: pytest's.
        losses: the validation losses.
        best: whether the best architecture is not trained either.

    Returns:
        The trials that were run, by their settings; it grows.
    """
    if best:
        monkeypatch.setattr(architecture_search, "train", lambda *_: None)
    following = iter(losses)
    run = []

    def fit(self, hp, model, *args, **kwargs):
        run.append(str(hp.values))
        # KerasTuner's Hyperband reads the weights of a trial that it continues.
        (checkpoint,) = [c for c in kwargs["callbacks"] if hasattr(c, "filepath")]
        model.save_weights(checkpoint.filepath)
        return {MONITOR: next(following, np.inf), AUC: 0.5}

    def build(self, hp):
        self.training_config(hp)  # it registers the choices
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    monkeypatch.setattr(gc, "collect", lambda *_: 0)  # KerasTuner calls it twice a trial, for 0.2 s each
    monkeypatch.setattr(SearchSpace, "build", build)
    monkeypatch.setattr(SearchSpace, "fit", fit)
    return run
