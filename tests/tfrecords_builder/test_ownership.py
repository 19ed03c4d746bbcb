"""The same on local paths and behind a URL, except for links, which a URL cannot tell."""

import os

import numpy as np
import pytest
import tensorflow as tf

from tfrecords_builder import storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.ownership import (
    PNG_SIGNATURE,
    OwnedFiles,
    below,
    delete_owned,
    files_below,
    has_signature,
    is_owned,
    move_owned,
    refuse_foreign_file,
    refuse_unknown_files,
    sign_png,
)

OWNED = OwnedFiles(
    "a box",
    {r"box\.json": b'"lid"', r"\w+\.bin": b"", **below("inner", {r"box\.json": b'"lid"'})},
)
CONTENTS = {"box.json": '{"lid": 1}', "a.bin": "\0", "inner/box.json": '{"lid": 2}'}


@pytest.fixture(params=["local", "ram"])
def folder(request, tmp_path) -> str:
    path = tmp_path / "[box]*?"
    return str(path) if request.param == "local" else f"ram://{path}"


def fill(folder: str, contents=CONTENTS) -> None:
    for path, content in contents.items():
        storage.write(storage.join(folder, path), content)


def test_a_missing_an_empty_and_an_owned_folder_are_accepted(folder):
    refuse_unknown_files(folder, OWNED)
    fill(folder)
    refuse_unknown_files(folder, OWNED)


@pytest.mark.parametrize(
    "unknown",
    [
        {"photo.jpg": ""},
        {"box.json": '{"another": "program"}'},  # the name alone proves nothing
        {"other/box.json": '{"lid": 1}'},
        {"inner/a.bin": ""},
        {".bashrc": ""},
        {"a.bin.bak": ""},
        {"prefix box.json": '{"lid": 1}'},
        {"box.json": " " * 5000 + '"lid"'},
    ],
)
def test_unknown_files_are_refused_and_kept(folder, unknown):
    fill(folder, CONTENTS | unknown)
    (name,) = unknown

    with pytest.raises(UserError, match="which does not belong to a box") as failure:
        refuse_unknown_files(folder, OWNED)
    assert repr(name) in str(failure.value)
    delete_owned(folder, OWNED)

    assert list(files_below(folder)) == [name]


def test_owned_files_are_deleted_with_the_folders_that_are_empty_then(folder):
    fill(folder)

    delete_owned(folder, OWNED)

    assert list(storage.entries(folder)) == []


def test_what_a_killed_command_left_half_written_is_owned(folder):
    fill(folder, {".box.json.123.tmp": "half", "inner/.box.json.123.tmp": "half"})
    refuse_unknown_files(folder, OWNED)
    fill(folder, {".photo.jpg.123.tmp": ""})

    with pytest.raises(UserError, match=r"photo\.jpg"):
        refuse_unknown_files(folder, OWNED)


def test_files_of_the_operating_system_are_neither_refused_nor_deleted(folder):
    left = dict.fromkeys((".DS_Store", "inner/._box.json", "Thumbs.db", ".gitkeep", "lost+found/x"), "")
    fill(folder, CONTENTS | left)

    refuse_unknown_files(folder, OWNED)
    delete_owned(folder, OWNED)

    assert all(storage.exists(storage.join(folder, name)) for name in left)
    assert list(files_below(folder)) == []


def test_owned_files_are_moved_and_replace_others(folder):
    fill(folder, CONTENTS | {"photo.jpg": "mine"})
    target = storage.join(folder, "target")
    fill(target, {"a.bin": "old", "theirs.txt": "theirs"})

    move_owned(folder, OWNED, target, last="box.json")

    assert sorted(files_below(folder)) == [
        "photo.jpg",
        *(f"target/{path}" for path in ("a.bin", "box.json", "inner/box.json", "theirs.txt")),
    ]
    assert storage.read(storage.join(target, "a.bin")) == "\0"


def test_links_are_refused_and_what_they_lead_to_is_kept(tmp_path):
    fill(str(tmp_path / "mine"), CONTENTS)
    box = tmp_path / "box"
    box.mkdir()
    (box / "inner").symlink_to(tmp_path / "mine")
    (box / "a.bin").symlink_to(tmp_path / "mine/a.bin")

    with pytest.raises(UserError, match=r"'a\.bin'"):
        refuse_unknown_files(str(box), OWNED)
    delete_owned(str(box), OWNED)

    assert {path: (tmp_path / "mine" / path).read_text() for path in CONTENTS} == CONTENTS
    assert sorted(path.name for path in box.iterdir()) == ["a.bin", "inner"]


def test_a_pipe_is_refused_and_not_read(tmp_path):
    os.mkfifo(tmp_path / "box.json")

    with pytest.raises(UserError, match=r"'box\.json'"):
        refuse_unknown_files(str(tmp_path), OWNED)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "box").write_text("mine")

    with pytest.raises(UserError, match="is a file, expected a box"):
        refuse_unknown_files(str(tmp_path / "box"), OWNED)


def test_a_folder_that_is_a_link_is_used(tmp_path):
    fill(str(tmp_path / "real"))
    (tmp_path / "link").symlink_to("real")

    refuse_unknown_files(str(tmp_path / "link"), OWNED)
    delete_owned(str(tmp_path / "link"), OWNED)

    assert (tmp_path / "link").is_symlink()
    assert list((tmp_path / "real").iterdir()) == []


def test_a_foreign_file_is_not_overwritten(folder):
    path = storage.join(folder, "report.json")
    refuse_foreign_file(path, b'"lid"', "a report")
    storage.write(path, '{"lid": 1}')
    refuse_foreign_file(path, b'"lid"', "a report")
    storage.write(path, "mine")

    with pytest.raises(UserError, match=r"report\.json' exists and is not a report"):
        refuse_foreign_file(path, b'"lid"', "a report")
    assert is_owned(folder, "report.json", OwnedFiles("", {"report.json": b"mine"}))


def test_a_signed_png_is_known_by_its_signature_and_shows_the_same_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    png = tf.io.encode_png(pixels).numpy()
    (tmp_path / "theirs.png").write_bytes(png)
    (tmp_path / "ours.png").write_bytes(sign_png(png))

    assert has_signature(str(tmp_path / "ours.png"), PNG_SIGNATURE)
    assert not has_signature(str(tmp_path / "theirs.png"), PNG_SIGNATURE)
    np.testing.assert_array_equal(tf.io.decode_png((tmp_path / "ours.png").read_bytes()), pixels)
    import cv2
    from PIL import Image

    assert Image.open(tmp_path / "ours.png").text["Software"] == "chest-xray-pipeline"
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "ours.png"))[..., ::-1], pixels)
