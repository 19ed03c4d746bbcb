import json
from pathlib import Path

import pytest

from tfrecords_builder.errors import UserError
from tfrecords_builder.synthesize import COMMENT, SynthesizeConfig, synthesize


def draw(folder, **settings) -> None:
    counts = {"train_images": 2, "val_images": 1, "test_images": 1, "height": 64}
    synthesize(SynthesizeConfig(str(folder), **counts | settings))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_draws_the_same_files_and_lists_the_lesions(tmp_path):
    draw(tmp_path / "a")
    draw(tmp_path / "b")
    draw(tmp_path / "c", seed=1)

    assert contents(tmp_path / "a") == contents(tmp_path / "b") != contents(tmp_path / "c")
    lesions = json.loads((tmp_path / "a/lesions.json").read_text())
    assert set(lesions) == {
        name for name in contents(tmp_path / "a") if "PNEUMONIA" in name and not name.startswith("lungs/")
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_drawn_folder_is_replaced_only_with_overwrite(tmp_path):
    draw(tmp_path / "a")
    before = contents(tmp_path / "a")

    with pytest.raises(UserError, match=r"drawn already: .*--overwrite"):
        draw(tmp_path / "a", seed=1)
    assert contents(tmp_path / "a") == before
    (tmp_path / "a/train/.DS_Store").write_bytes(b"of the Finder")
    draw(tmp_path / "a", train_images=1, overwrite=True)

    after = contents(tmp_path / "a")
    assert after.pop("train/.DS_Store") == b"of the Finder"
    assert len(after) == 13  # six images with their masks, and the list of lesions
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_real_xrays_of_the_same_names_are_never_replaced(tmp_path):
    draw(tmp_path / "a")
    image = next((tmp_path / "a/train/NORMAL").iterdir())
    image.write_bytes(image.read_bytes().replace(COMMENT, bytes(len(COMMENT))))
    before = contents(tmp_path / "a")

    with pytest.raises(UserError, match=f"holds 'train/NORMAL/{image.name}'"):
        draw(tmp_path / "a", overwrite=True)

    assert contents(tmp_path / "a") == before


def test_a_folder_that_is_named_like_an_unfinished_one_is_kept(tmp_path):
    (tmp_path / "a.unfinished").mkdir()
    (tmp_path / "a.unfinished/mine.txt").write_text("mine")

    with pytest.raises(UserError, match=r"a\.unfinished' holds 'mine\.txt'"):
        draw(tmp_path / "a")

    assert contents(tmp_path) == {"a.unfinished/mine.txt": b"mine"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_a_killed_drawing_left_is_drawn_again(tmp_path, overwrite):
    draw(tmp_path / "whole")
    draw(tmp_path / "a.unfinished", seed=1)
    (tmp_path / "a.unfinished/lesions.json").unlink()

    draw(tmp_path / "a", overwrite=overwrite)

    assert contents(tmp_path / "a") == contents(tmp_path / "whole")
    assert not (tmp_path / "a.unfinished").exists()


def test_the_working_directory_and_links_can_be_drawn_into(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    draw(".")
    draw(tmp_path / "link")

    assert contents(tmp_path / "here") == contents(tmp_path / "real")
    assert (tmp_path / "link").is_symlink()
