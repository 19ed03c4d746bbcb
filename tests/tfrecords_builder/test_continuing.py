import json

import pytest

from tfrecords_builder import storage
from tfrecords_builder.continuing import begin_or_continue, refuse_other_settings
from tfrecords_builder.errors import UserError

SETTINGS = {"epochs": 3, "filters": (4, 8), "nested": {"positive": ("1",)}, "seed": None}


@pytest.fixture(params=["local", "ram"])
def path(request, tmp_path) -> str:
    return (
        str(tmp_path / "run/begun.json") if request.param == "local" else f"ram://{tmp_path}/run/begun.json"
    )


def test_work_is_begun_once_and_continued_with_the_same_settings(path):
    assert begin_or_continue(path, SETTINGS, "'run' was begun") is False
    assert begin_or_continue(path, SETTINGS, "'run' was begun") is True

    assert json.loads(storage.read(path))["filters"] == [4, 8]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"epochs": 4}, r"'run' was begun with epochs=3, not 4: .*--overwrite"),
        ({"filters": (4, 9)}, r"with filters=\[4, 8\], not \[4, 9\]"),
        ({"nested": {"positive": ()}}, "with nested="),
        ({"seed": 0}, "with seed=None, not 0"),
        ({"new": 1}, "with new=None, not 1"),
    ],
)
def test_other_settings_are_refused_by_their_first_difference_and_change_nothing(path, change, difference):
    begin_or_continue(path, SETTINGS, "'run' was begun")
    before = storage.read(path)

    with pytest.raises(UserError, match=difference):
        begin_or_continue(path, SETTINGS | change, "'run' was begun")
    assert storage.read(path) == before


def test_tuples_are_equal_to_the_lists_that_json_makes_of_them():
    before = json.loads(json.dumps(SETTINGS))

    refuse_other_settings("'run' was begun", before, SETTINGS, "choose another folder")


def test_settings_that_are_no_longer_wanted_are_ignored():
    refuse_other_settings("'run' was begun", {"epochs": 3, "old": 1}, {"epochs": 3}, "choose another folder")


def test_the_message_ends_with_what_to_do():
    with pytest.raises(UserError, match=r"not 4: choose another folder$"):
        refuse_other_settings("'run' was begun", {"epochs": 3}, {"epochs": 4}, "choose another folder")
