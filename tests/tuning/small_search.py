"""A search for tests: networks that train in a second, or that are not trained at all."""

import dataclasses
import json

from tuning import architecture_search, space, trial, trials
from tuning.settings import SearchConfig
from tuning.space import Choice
from tuning.trial import RESULT, TrialResult

RESULT_OF = TrialResult(
    score=0.5,
    auc=0.6,
    lowest_auc=0.5,
    sensitivity=0.97,
    specificity=0.5,
    balanced_accuracy_after_changes=0.5,
    val_loss=0.4,
    epochs=1,
    seconds=1.0,
    params=100,
    latency_ms=1.0,
    stopped_early=False,
)


def quick_search(records, run, **settings) -> SearchConfig:
    defaults = {
        "epochs": 1,
        "batch_size": 32,
        "precision": "float32",
        "max_trials": 2,
        "trial_epochs": 2,
        "tuner": "random",
        "workers": 0,
        "fix": ("model.blocks=2", "model.growth=1", "model.convolutions=1"),
    }
    return SearchConfig(records=str(records), run=str(run), **defaults | settings)


def search_small_networks(monkeypatch) -> None:
    """Lets searches choose between four small networks; 16 filters are the default."""
    monkeypatch.setitem(space.PRESETS, "default", {"model.first_filters": Choice((2, 3, 4, 16))})


def pretend_to_train(monkeypatch, scores, *, best: bool = True) -> list[str]:
    """Gives the next trials these scores, without training them, and without training the best.

    Args:
        monkeypatch: pytest's.
        scores: the scores.
        best: whether the best settings are not trained either.

    Returns:
        The run folders of the trials that were run; it grows.
    """
    if best:
        monkeypatch.setattr(architecture_search.folds, "train", lambda *_: None)
    following = iter(scores)
    run = []

    def pretend(config, *_args, **_kwargs) -> TrialResult:
        run.append(config.run)
        result = dataclasses.replace(RESULT_OF, score=next(following, 0.0), epochs=config.epochs)
        trial.storage.write(f"{config.run}/{RESULT}", json.dumps(dataclasses.asdict(result)))
        return result

    monkeypatch.setattr(trials.trial, "run", pretend)
    monkeypatch.setattr(trials.hparams, "write", lambda *_: None)
    monkeypatch.setattr(trials.gc, "collect", lambda: 0)
    return run
