import sys
from pathlib import Path

import kagglehub
import pytest

from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.errors import UserError
from tfrecords_builder.source.download import CHEST_XRAY_PNEUMONIA, download


@pytest.fixture
def kaggle(monkeypatch, source):
    """Replaces the download; returns a list of (dataset, folder) that were asked for."""
    asked = []

    def dataset_download(handle, *, output_dir):
        asked.append((handle, output_dir))
        Path(output_dir).mkdir()
        (Path(output_dir) / "chest_xray").symlink_to(source)
        sys.stdout.write("Warning: a newer version of kagglehub is there\n")
        return output_dir

    monkeypatch.setattr(kagglehub, "dataset_download", dataset_download)
    return asked


def test_the_public_dataset_is_downloaded_once_and_built(kaggle, tmp_path, capsys):
    folder = str(tmp_path / "chest_xray")
    content = build(BuildConfig(folder, str(tmp_path / "records"), download=True, val_fraction=0.2))
    download(folder)

    assert [dataset for dataset, _ in kaggle] == [CHEST_XRAY_PNEUMONIA]
    assert content.splits["test"].records == 8
    output = capsys.readouterr()
    assert (output.out, "newer version" in output.err) == ("", True)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("no route to host\nmore lines"), "no route to host"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_failed_download_is_one_line_that_names_the_page_and_leaves_no_source(
    monkeypatch, tmp_path, error, reason
):
    def dataset_download(handle, *, output_dir):
        (Path(output_dir) / "half").mkdir(parents=True)
        raise error

    monkeypatch.setattr(kagglehub, "dataset_download", dataset_download)

    with pytest.raises(UserError) as failure:
        download(str(tmp_path / "chest_xray"))
    assert reason in str(failure.value)
    assert f"https://www.kaggle.com/datasets/{CHEST_XRAY_PNEUMONIA}" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_user_beside_the_source_is_kept(kaggle, tmp_path):
    (tmp_path / "chest_xray.unfinished").mkdir()
    (tmp_path / "chest_xray.unfinished/mine.txt").write_text("mine")

    download(str(tmp_path / "chest_xray"))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["chest_xray", "chest_xray.unfinished"]
    assert (tmp_path / "chest_xray.unfinished/mine.txt").read_text() == "mine"


def test_without_kagglehub_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "kagglehub", None)

    with pytest.raises(UserError, match=r"chest-xray-pipeline\[kaggle\]"):
        download(str(tmp_path / "chest_xray"))


def test_a_table_is_not_downloaded():
    with pytest.raises(ValueError, match="--download"):
        BuildConfig("labels.csv", "records", download=True)
