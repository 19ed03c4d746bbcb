"""The same on local paths and behind a URL."""

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tensorflow as tf

from tfrecords_builder import storage
from tfrecords_builder.errors import UserError


@pytest.fixture(params=["local", "ram"])
def folder(request, tmp_path) -> str:
    return str(tmp_path / "folder") if request.param == "local" else f"ram://{tmp_path}/folder"


def names_in(folder: str) -> list[str]:
    return sorted(tf.io.gfile.listdir(folder))


def test_urls_are_recognised():
    assert storage.is_url("gs://bucket/records")
    assert not storage.is_url("/home/records")
    assert not storage.is_url("records")


def test_joining_ignores_a_slash_at_the_end_of_the_folder():
    assert storage.join("a/", "b", "c") == storage.join("a", "b", "c") == "a/b/c"
    assert storage.join("ram://a/", "b") == "ram://a/b"


@pytest.mark.parametrize("content", ["Röntgen\r\n", b"R\xc3\xb6ntgen\r\n"])
def test_what_is_written_is_read_byte_for_byte_and_missing_folders_are_made(folder, content):
    path = storage.join(folder, "below", "file")
    assert not storage.exists(path)

    storage.write(path, content)

    assert storage.exists(path)
    assert storage.read(path) == "Röntgen\r\n"
    assert storage.read_bytes(path) == b"R\xc3\xb6ntgen\r\n"
    assert names_in(storage.join(folder, "below")) == ["file"]


def test_a_file_name_that_is_not_utf_8_is_escaped(folder):
    storage.write(storage.join(folder, "file"), "\udcff.jpeg")

    assert storage.read(storage.join(folder, "file")) == "\\udcff.jpeg"


def test_a_new_file_replaces_the_old_one(folder):
    path = storage.join(folder, "file")
    storage.write(path, "old")

    storage.write(path, "new")

    assert storage.read(path) == "new"
    assert names_in(folder) == ["file"]


def test_a_block_that_fails_leaves_the_old_file_and_no_temporary_one(folder):
    path = storage.join(folder, "file")
    storage.write(path, "old")

    def fail_halfway():
        with storage.replacing(path) as unfinished:
            storage.write(unfinished, "half")
            assert storage.read(path) == "old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert storage.read(path) == "old"
    assert names_in(folder) == ["file"]


def test_a_block_that_fails_before_it_writes(folder):
    with pytest.raises(ZeroDivisionError), storage.replacing(storage.join(folder, "file")):
        raise ZeroDivisionError

    assert names_in(folder) == []


def test_a_path_without_a_folder_is_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    storage.write("file", "content")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_libraries_that_save_and_load_local_paths(folder):
    path = storage.join(folder, "model.keras")

    storage.write_with(path, lambda local: Path(local).write_text("weights"))

    assert storage.read_with(path, lambda local: Path(local).read_text()) == "weights"
    assert names_in(folder) == ["model.keras"]


def test_a_table_as_csv():
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}]

    assert storage.to_csv(rows) == "epoch,loss\n1,0.5\n2,\n"


@pytest.mark.parametrize("name", ["models[1]", "models*", "models?", "plain"])
def test_a_folder_is_lent_by_a_path_that_is_no_pattern(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "file").write_text("content")

    with storage.without_pattern(str(tmp_path / name)) as plain:
        assert tf.io.gfile.glob(f"{plain}/f*") == [f"{plain}/file"]
        assert (plain == str(tmp_path / name)) == (name == "plain")

    assert (tmp_path / name / "file").read_text() == "content"


def test_entries_are_listed_and_links_are_no_folders(folder):
    assert list(storage.entries(folder)) == []
    storage.write(storage.join(folder, "[a]*", "file"), "")
    storage.write(storage.join(folder, "file"), "")
    expected = [("[a]*", True), ("file", False)]
    if not storage.is_url(folder):
        (Path(folder) / "link").symlink_to("[a]*")
        expected.append(("link", False))

    assert sorted(storage.entries(folder)) == expected


def test_files_are_read_in_part_moved_and_removed(folder):
    path, moved = storage.join(folder, "file"), storage.join(folder, "below", "moved")
    storage.write(path, "content")
    storage.write(moved, "old")

    assert storage.read_beginning(path, 4) == b"cont"
    assert storage.read_beginning(path, 400) == b"content"
    storage.move(path, moved)
    assert storage.read(moved) == "content"
    storage.remove_empty_folder(storage.join(folder, "below"))
    storage.remove(moved)
    storage.remove_empty_folder(storage.join(folder, "below"))

    assert not storage.exists(storage.join(folder, "below"))
    storage.remove_empty_folder(storage.join(folder, "below"))


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "open_file", lambda _, mode: Path("/dev/full").open(mode))  # noqa: SIM115

    with pytest.raises(OSError, match="No space left") as failure:
        storage.write(str(tmp_path / "file"), "content")
    assert failure.value.filename == str(tmp_path / "file")


def test_a_long_name_is_shortened_to_whole_characters():
    assert storage.shortened("short") == "short"
    assert storage.shortened("ü" * 120) == "ü" * 100


def test_space_is_checked_before_writing_and_nothing_is_left(tmp_path):
    storage.check_space(str(tmp_path / "file"), 3 << 20)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as failure:
            storage.check_space(str(tmp_path / "file"), 3 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert failure.value.filename == str(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc/none", "{tmp}/file", "{tmp}/file/below", "{tmp}/" + "x" * 300])
def test_a_folder_that_cannot_be_written_is_told_before_writing(tmp_path, folder):
    (tmp_path / "file").write_text("mine")
    folder = folder.format(tmp=tmp_path)

    with pytest.raises(OSError, match=r"\[Errno") as failure:
        storage.check_writable(folder)

    assert failure.value.filename == folder


def test_a_check_of_a_folder_leaves_nothing(tmp_path):
    storage.check_writable(str(tmp_path))
    storage.check_writable(str(tmp_path / "new" / "newer"))
    storage.check_writable("ram://test_storage/new")

    assert list(tmp_path.iterdir()) == []


def test_threads_that_write_the_same_file_leave_one_of_their_contents(tmp_path):
    path = str(tmp_path / "file.txt")
    contents = [str(number) * 100_000 for number in range(10)]

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda content: storage.write(path, content), contents * 5))

    assert storage.read(path) in contents
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_an_empty_path_is_no_folder():
    with pytest.raises(UserError, match=r"is empty: give '\.' for the current folder"):
        storage.join("", "config.json")
    assert storage.join("/", "config.json") == "/config.json"
