"""`python -m tuning.search RECORDS RUN`: searches for the best architecture and trains it."""

from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tuning.settings import SearchConfig


def main(config: SearchConfig) -> None:
    """Searches, then prints the leaderboard and the run folder."""
    from pipeline.tracking.mlflow_runs import tracker
    from tuning import leaderboard, trial
    from tuning.architecture_search import search

    tracked = tracker(config.mlflow)
    rows = search(config)
    if rows:  # a worker of a parallel search has none
        if tracked:
            tracked.log_search(config.run, trial.results(config.run))
        leaderboard.print_table(rows)
        print(config.run)  # noqa: T201


if __name__ == "__main__":
    run(main, SearchConfig, "python -m tuning.search", load=startup.load_keras)
