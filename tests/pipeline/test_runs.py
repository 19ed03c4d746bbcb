import json
from pathlib import Path

import keras
import pytest

from pipeline import runs
from tfrecords_builder import Preprocessing
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest

CONTENT = Manifest(Preprocessing(32, 0.1), "raw", "test", {}, {})


def test_the_environment_names_every_package_that_can_change_a_result():
    environment = runs.describe_environment(seed=3, precision="mixed_bfloat16", data_order="indexed")

    assert environment["packages"]["keras"] == keras.__version__
    versions = {
        environment["packages"][name] for name in ("opencv-python-headless", "scikit-learn", "simplejpeg")
    }
    assert None not in versions
    assert (environment["seed"], environment["precision"]) == (3, "mixed_bfloat16")


def test_a_run_that_continues_keeps_the_environment_of_its_beginning(tmp_path):
    run = str(tmp_path / "run")
    assert runs.stored_environment(run) == {}

    for seed in (1, 2):
        runs.begin(run, {"epochs": 3}, CONTENT, {"seed": seed})

    assert runs.stored_environment(run) == {"seed": 1}


def test_a_run_that_was_killed_before_it_had_its_config_is_begun_again(tmp_path):
    run = str(tmp_path / "run")
    runs.begin(run, {"epochs": 3}, CONTENT, {"seed": 1})
    (Path(run) / "config.json").unlink()

    runs.begin(run, {"epochs": 4}, CONTENT, {"seed": 2})

    assert json.loads((Path(run) / "config.json").read_text()) == {"epochs": 4}
    assert runs.stored_environment(run) == {"seed": 2}


def test_other_settings_are_refused(tmp_path):
    run = str(tmp_path / "run")
    runs.begin(run, {"filters": (4, 8)}, CONTENT, {})
    runs.begin(run, {"filters": (4, 8)}, CONTENT, {})

    with pytest.raises(UserError, match=r"run' was begun with filters=\[4, 8\], not \[4, 9\]"):
        runs.begin(run, {"filters": (4, 9)}, CONTENT, {})


def test_a_folder_without_a_finished_training_is_not_loaded(tmp_path):
    runs.begin(str(tmp_path), {}, CONTENT, {})

    assert not runs.is_finished(str(tmp_path))
    with pytest.raises(UserError, match=r"no model\.keras"):
        runs.load(str(tmp_path))
