"""`python -m pipeline.train RECORDS RUN`: trains a pneumonia classifier and writes a run folder."""

from pipeline.training.settings import TrainConfig
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run


def main(config: TrainConfig) -> None:
    """Trains and prints the run folder."""
    from pipeline.tracking.mlflow_runs import tracker
    from pipeline.training.folds import train

    tracked = tracker(config.mlflow)
    train(config)
    if tracked:
        tracked.log_training(config.run)
    print(config.run)  # noqa: T201


if __name__ == "__main__":
    run(main, TrainConfig, "python -m pipeline.train", load=startup.load_keras)
