"""The finalists: the best settings of a search, trained in full over several seeds before one is chosen."""

import dataclasses
import itertools
import logging
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline import runs
from pipeline.decision import operating_point
from pipeline.network.names import FEATURES
from pipeline.training import folds
from pipeline.training.recipe import build_classifier
from pipeline.training.settings import TrainConfig
from tfrecords_builder import ownership, storage
from tuning import trial
from tuning.leaderboard import Row
from tuning.settings import SearchConfig
from tuning.trial import Conditions

FOLDER = "finalists"
"""Folder below `RUN/search/` with a run folder for each full training."""
TABLE = "finalists.csv"

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Winner:
    """The settings that won, and a full training of them if there is one."""

    config: TrainConfig
    trained: str | None
    """Run folder of the best of its full trainings; None if there is none."""


def choose(
    config: SearchConfig,
    rows: Sequence[Row],
    conditions: Conditions,
    training_config: Callable[[Mapping[str, Any]], TrainConfig],
) -> Winner:
    """Trains the finalists, writes their table and chooses the one with the best mean score.

    With a single finalist and a single seed nothing is trained.

    Args:
        config: the settings of the search.
        rows: the leaderboard.
        conditions: what is the same for all trainings.
        training_config: returns the settings of the full training for a row of the leaderboard.
    """
    if config.finalists == config.seeds == 1:
        return Winner(training_config(rows[0]), None)
    table, winners = [], []
    for row in rows[: config.finalists]:
        trainings = [
            dataclasses.replace(
                training_config(row),
                seed=config.seed + number,
                run=storage.join(config.run, runs.SEARCH, FOLDER, f"{row['trial']}-{config.seed + number}"),
                folds=0,
            )
            for number in range(config.seeds)
        ]
        results = [_train(training, conditions) for training in trainings]
        scores = [result.score for result in results]
        table.append(
            {
                "trial": row["trial"],
                "seeds": len(scores),
                "mean_score": statistics.mean(scores),
                "score_deviation": statistics.stdev(scores) if len(scores) > 1 else 0.0,
                "mean_auc": statistics.mean(result.auc for result in results),
                **{f"score_{number}": score for number, score in enumerate(scores)},
            }
        )
        best = trainings[scores.index(max(scores))]
        # With folds, the seed of each fold follows from that of the search.
        seed = config.seed if config.folds else best.seed
        winners.append(Winner(dataclasses.replace(training_config(row), seed=seed), best.run))
        logger.info(
            "finalist %s: mean score %.4f over %d seeds, standard deviation %.4f",
            row["trial"],
            table[-1]["mean_score"],
            len(scores),
            table[-1]["score_deviation"],
        )
    storage.write(storage.join(config.run, runs.SEARCH, TABLE), storage.to_csv(table))
    means = [row["mean_score"] for row in table]
    return winners[means.index(max(means))]


def others_for_folds(
    config: SearchConfig,
    rows: Sequence[Row],
    winner: TrainConfig,
    training_config: Callable[[Mapping[str, Any]], TrainConfig],
    image_size: int,
) -> list[TrainConfig]:
    """The best combinations besides the winner that the folds take in turn with it.

    Args:
        config: the settings of the search.
        rows: the leaderboard.
        winner: the settings of the winner.
        training_config: as for `choose`.
        image_size: side of the images, in pixels.
    """
    if not config.folds or config.fold_networks == 1:
        return []
    wanted = _size_of_features(winner, image_size)
    candidates = (dataclasses.replace(training_config(row), seed=winner.seed) for row in rows)
    fitting = (
        other for other in candidates if other != winner and _size_of_features(other, image_size) == wanted
    )
    others = list(itertools.islice(fitting, config.fold_networks - 1))
    if len(others) < config.fold_networks - 1:
        logger.info("no more networks have features of this size: the folds take %d in turn", len(others) + 1)
    return others


def _size_of_features(config: TrainConfig, image_size: int) -> tuple[int, ...]:
    """Height and width of the last feature maps."""
    model = build_classifier(config, image_size, "float32")
    return tuple(model.get_layer(FEATURES).output.shape[1:3])


def adopt(winner: Winner) -> bool:
    """Copies the training of the winner into the run folder, unless folds are to be trained.

    Returns:
        Whether there was a training to copy.
    """
    if winner.trained is None or winner.config.folds:
        return False
    ownership.copy_owned(
        winner.trained, runs.TRAINING_FILES, winner.config.run, last=operating_point.FILE_NAME
    )
    return True


def _train(config: TrainConfig, conditions: Conditions) -> trial.TrialResult:
    folds.train(config, conditions.precision)
    if storage.exists(storage.join(config.run, trial.RESULT)):
        return trial.load_result(config.run)
    return trial.score_run(config, max_latency_ms=None, stopped_early=False)
