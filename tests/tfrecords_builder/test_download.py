import sys

import kagglehub
import pytest

from tfrecords_builder.command import UserError
from tfrecords_builder.download import CHEST_XRAY_PNEUMONIA, download, local_source


@pytest.fixture
def kaggle(monkeypatch):
    """What Kaggle was asked for; the network is not touched."""
    asked = []

    def dataset_download(handle):
        asked.append(handle)
        sys.stdout.write("Warning: a newer version of kagglehub is there\n")
        return "/cache/datasets/chest"

    monkeypatch.setattr(kagglehub, "dataset_download", dataset_download)
    return asked


def test_the_data_set_is_asked_for_by_its_name(kaggle, capsys):
    assert download() == "/cache/datasets/chest"
    assert download("somebody/xrays") == "/cache/datasets/chest"

    assert kaggle == ["paultimothymooney/chest-xray-pneumonia", "somebody/xrays"]
    output = capsys.readouterr()
    assert (output.out, "newer version" in output.err) == ("", True)


def test_a_source_of_kaggle_is_downloaded_and_others_are_left(kaggle):
    assert local_source(f"kaggle:{CHEST_XRAY_PNEUMONIA}") == "/cache/datasets/chest"
    assert kaggle == [CHEST_XRAY_PNEUMONIA]

    assert local_source("kaggle/chest_xray") == "kaggle/chest_xray"
    assert kaggle == [CHEST_XRAY_PNEUMONIA]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("no route to host\nmore lines"), "no route to host"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_failed_download_is_one_line_with_a_way_out(monkeypatch, error, reason):
    def dataset_download(handle):
        raise error

    monkeypatch.setattr(kagglehub, "dataset_download", dataset_download)

    with pytest.raises(UserError) as failure:
        download()
    assert reason in str(failure.value)
    assert f"https://www.kaggle.com/datasets/{CHEST_XRAY_PNEUMONIA}" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_name_that_is_none_of_kaggles_fails_without_the_network():
    with pytest.raises(UserError, match="'no-owner' cannot be downloaded"):
        download("no-owner")


def test_without_kagglehub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)

    with pytest.raises(UserError, match=r"chest-xray-pipeline\[kaggle\]"):
        download()
