"""Apache Beam writes the same shards as the threads of this machine."""

import shutil
import sys
from pathlib import Path

import pytest

from tfrecords_builder import Preprocessing
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.errors import UserError

IN_PROCESS = ("runner=DirectRunner",)
TWO_PROCESSES = ("runner=DirectRunner", "direct_num_workers=2", "direct_running_mode=multi_processing")


def settings(source, records, **changes) -> BuildConfig:
    defaults = {"preprocessing": Preprocessing(32, 0.1), "val_fraction": 0.2, "shards": 3}
    return BuildConfig(str(source), str(records), **defaults | changes)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("options", [IN_PROCESS, pytest.param(TWO_PROCESSES, marks=pytest.mark.slow)])
def test_the_same_bytes_as_the_local_engine(source, tmp_path, options):
    pytest.importorskip("apache_beam")
    build(settings(source, tmp_path / "here"))

    build(settings(source, tmp_path / "beam", engine="beam", beam_options=options))

    assert files_of(tmp_path / "beam") == files_of(tmp_path / "here")


def test_the_same_bytes_with_a_folder_of_masks(source, tmp_path):
    pytest.importorskip("apache_beam")
    masks = Path(shutil.copytree(source / "lungs", tmp_path / "masks"))
    next((masks / "train/NORMAL").iterdir()).unlink()  # an image without a mask
    for workers in (1, 3):
        build(settings(source, tmp_path / str(workers), lungs=str(masks), workers=workers))

    build(settings(source, tmp_path / "beam", lungs=str(masks), engine="beam", beam_options=IN_PROCESS))

    assert files_of(tmp_path / "beam") == files_of(tmp_path / "1") == files_of(tmp_path / "3")


def test_beam_lists_unreadable_images_too(source, tmp_path):
    pytest.importorskip("apache_beam")
    damaged = tmp_path / "damaged"
    for path in source.rglob("*.jpeg"):
        target = damaged / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    broken = next((damaged / "train/NORMAL").iterdir())
    broken.unlink()
    broken.write_bytes(b"no image")

    content = build(
        settings(damaged, tmp_path / "records", engine="beam", beam_options=IN_PROCESS, on_error="skip")
    )

    assert [entry.source for entry in content.left_out] == [broken.relative_to(damaged).as_posix()]


def test_without_beam_the_extra_is_named(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)

    with pytest.raises(UserError, match=r"chest-xray-pipeline\[beam\]"):
        build(settings(source, tmp_path / "records", engine="beam"))


def test_beam_options_need_the_beam_engine():
    with pytest.raises(ValueError, match="--engine beam"):
        BuildConfig("source", "records", beam_options=IN_PROCESS)
