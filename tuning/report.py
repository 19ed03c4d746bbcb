"""The report of a search: `RUN/search/search.html`, one HTML file that needs no other file."""

import csv
from collections.abc import Sequence

from pipeline import pages
from tfrecords_builder import storage
from tuning import finalists, leaderboard, pictures
from tuning.leaderboard import Row
from tuning.trial import curve_of
from tuning.trials import Trials

FILE_NAME = "search.html"
MOST_ROWS = 40
_RESULTS = (*leaderboard.RESULTS_SHOWN, "rank", "trial")


def write_report(trials: Trials, rows: Sequence[Row]) -> None:
    """Writes the report of a search.

    Args:
        trials: the trials of the search.
        rows: the leaderboard, at least one row.
    """
    curves = {row["trial"]: curve_of(trials.run_folder(row["trial"])) for row in rows}
    parameters = [name for name in rows[0] if name not in _RESULTS]  # the settings that were searched
    page = (
        pages.environment("tuning")
        .get_template("search.html.jinja")
        .render(
            run=trials.config.run,
            config=trials.config,
            minutes=trials.conditions.clock.seconds / 60,
            rows=rows[:MOST_ROWS],
            num_rows=len(rows),
            num_trials=len(trials.tuner_trials()),
            finalists=_finalists(trials.folder),
            failures=leaderboard.failures(trials.tuner),
            settings=pictures.parallel_coordinates(rows, parameters),
            importances=pictures.importances(rows, parameters),
            curves=pictures.learning_curves(rows, curves),
            pareto=pictures.pareto(rows),
        )
    )
    storage.write(storage.join(trials.folder, FILE_NAME), page)


def _finalists(folder: str) -> list[dict[str, str]]:
    path = storage.join(folder, finalists.TABLE)
    return list(csv.DictReader(storage.read(path).splitlines())) if storage.exists(path) else []
