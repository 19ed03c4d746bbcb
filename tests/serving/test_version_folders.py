import pytest
import tensorflow as tf

from serving.version_folders import LARGEST_VERSION, newest_version, version_folders
from tfrecords_builder.errors import UserError


@pytest.fixture
def base_path(tmp_path) -> str:
    return str(tmp_path / "models" / "pneumonia")


def make(base_path, *names) -> None:
    for name in names:
        tf.io.gfile.makedirs(f"{base_path}/{name}")


def test_a_version_is_a_folder_whose_name_is_an_integer_with_or_without_zeros(base_path):
    make(base_path, "1", "0002", "00000123")

    assert version_folders(base_path) == {
        1: f"{base_path}/1",
        2: f"{base_path}/0002",
        123: f"{base_path}/00000123",
    }


def test_other_names_are_no_versions(base_path):
    make(base_path, "7", "unfinished-3-99", "v4", "-5", "6.0", "\u0663", "8 ")

    assert list(version_folders(base_path)) == [7]


def test_a_number_that_needs_more_than_64_bits_is_no_version(base_path):
    make(base_path, str(LARGEST_VERSION), str(LARGEST_VERSION + 1))

    assert list(version_folders(base_path)) == [LARGEST_VERSION]


def test_versions_are_in_the_order_of_their_numbers(base_path):
    make(base_path, "10", "9", "0001")

    assert list(version_folders(base_path)) == [1, 9, 10]


def test_of_two_folders_with_the_same_number_the_one_with_fewer_zeros_counts(base_path):
    make(base_path, "02", "2", "0002")

    assert version_folders(base_path) == {2: f"{base_path}/2"}


def test_a_base_path_that_is_missing_is_an_error(base_path):
    with pytest.raises(tf.errors.NotFoundError):
        version_folders(base_path)


def test_a_base_path_behind_a_url():
    make("ram://version_folders/pneumonia", "1", "0002", "other")

    assert version_folders("ram://version_folders/pneumonia") == {
        1: "ram://version_folders/pneumonia/1",
        2: "ram://version_folders/pneumonia/0002",
    }


def test_the_newest_version_has_the_highest_number_whatever_its_zeros(base_path, tmp_path):
    make(base_path, "3", "0012", "9")

    assert newest_version(str(tmp_path / "models")) == f"{base_path}/0012"


@pytest.mark.parametrize("names", [(), ("unfinished-1",)])
def test_a_model_without_versions_is_the_users_mistake(base_path, tmp_path, names):
    make(base_path, *names)

    with pytest.raises(UserError, match=r"python -m serving\.export"):
        newest_version(str(tmp_path / "models"))
    with pytest.raises(UserError, match="'other'"):
        newest_version(str(tmp_path / "models"), "other")
