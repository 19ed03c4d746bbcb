"""A small source folder of synthetic X-rays."""

from pathlib import Path

import pytest

from tfrecords_builder.synthesize import SynthesizeConfig, synthesize


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """chest_xray/ with 12 + 3 + 4 images of each class."""
    folder = tmp_path_factory.mktemp("source") / "chest_xray"
    synthesize(SynthesizeConfig(str(folder), train_images=12, val_images=3, test_images=4, height=80))
    return folder
