"""`python -m serving.export RUN MODELS`: publishes a run as a version of the model that is served."""

import dataclasses
from typing import Annotated

import tyro

from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.options import optional


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Exports a run as a new version of the served model: a SavedModel, which TensorFlow Serving serves.

    The SavedModel has three functions, which are called signatures. The signature `serving_default` takes
    image files and predicts. The signature `gradcam` does so too, and explains each prediction with a
    heatmap. The signature `pixels` takes preprocessed images and predicts. The version is published only if
    all three predict what the run predicts.
    """

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """Folder of a finished run; a path or a URL."""
    models: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODELS")]
    """Folder of exported models; a path or a URL. The version is written to MODELS/pneumonia/VERSION."""
    version: Annotated[int | None, optional("N")] = None
    """Number of the new version, at least 1. By default, the highest number in MODELS/pneumonia plus 1."""

    def __post_init__(self) -> None:
        if self.version is not None and self.version < 1:
            raise ValueError(f"version must be at least 1. Received: {self.version}")


def export(run_folder: str, models: str, version: int | None = None) -> str:
    """Publishes a finished run; see `serving.exporting.publish.publish`.

    Args:
        run_folder: folder of the run; a path or a URL.
        models: folder of models; a path or a URL.
        version: number of the new version; None for the highest number there plus 1.

    Returns:
        The folder of the new version.
    """
    from serving.exporting.publish import publish

    return publish(run_folder, models, version)


def main(config: ExportConfig) -> None:
    """Exports the run and prints the folder of the new version."""
    print(export(config.run, config.models, config.version))  # noqa: T201


if __name__ == "__main__":
    run(main, ExportConfig, "python -m serving.export", load=startup.load_keras_on_tensorflow)
