"""`python -m serving.client` as its users call it."""

import contextlib
import csv
import errno
import io
import json
import os
import pty
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from serving.client.images import find_images
from tfrecords_builder.decoding.formats import FORMATS, expected
from tfrecords_builder.errors import UserError

from .conftest import encoded_image, overlay_of, probability_of


@pytest.fixture
def folder(tmp_path, images):
    """Ten images in two folders with equal file names, among files that are not images."""
    root = tmp_path / "xrays"
    for number, image in enumerate(images):
        suffix = {b"\x89": "png", b"\xff": "JPEG", b"B": "bmp"}[image[:1]]
        path = root / f"folder{number % 2}" / f"image{number // 2}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    for leftover in (".DS_Store", "folder0/._image0.png", "__MACOSX/image0.png", "notes.txt", ".cache/a.png"):
        path = root / leftover
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no image")
    return root


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "serving.client", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def call_rest(server):
    """Calls the command over REST, which starts fast. That gRPC answers alike is tested with the library."""
    return lambda *arguments: call("--transport", "rest", "--address", server.address("rest"), *arguments)


def test_finds_the_images_in_folders_and_takes_any_file_that_is_named(folder):
    found = find_images([str(folder), "absent.txt"])
    assert len(found) == 11
    assert found[-1] == "absent.txt"
    assert found[:-1] == sorted(found[:-1])
    assert not any("MACOSX" in path or "/." in path or path.endswith("notes.txt") for path in found)


def test_table(call_rest, folder, images):
    done = call_rest(folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for path in find_images([str(folder)]):
        (line,) = [line for line in done.stdout.splitlines() if path in line]
        encoded = Path(path).read_bytes()
        assert f"{probability_of(encoded):.4f}" in line
        assert ("PNEUMONIA" if probability_of(encoded) >= 0.5 else "NORMAL") in line


def test_over_grpc(server, folder):
    done = call("--address", server.address("grpc"), "--json", folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 10


def test_json_lines(call_rest, folder):
    done = call_rest("--json", folder)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == find_images([str(folder)])
    for answer in answers:
        assert answer["probability"] == pytest.approx(probability_of(Path(answer["file"]).read_bytes()))
        assert answer["valid"] is True
        assert answer["overlay"] is None


def test_csv(call_rest, folder):
    done = call_rest("--csv", folder)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["file"] for row in rows] == find_images([str(folder)])
    assert {row["label"] for row in rows} == {"NORMAL", "PNEUMONIA"}


def read_terminal(terminal) -> str:
    """What is written to a pseudo-terminal until the process at its other end closes it."""
    written = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(terminal, 1 << 16):
            written += part
    os.close(terminal)
    return written.decode()


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_lines_go_to_a_pipe_while_a_terminal_shows_the_progress(server, folder, form):
    terminal, stderr = pty.openpty()
    options = ["--transport", "rest", "--address", server.address("rest"), form]
    command = [sys.executable, "-m", "serving.client", *options, folder]
    with ThreadPoolExecutor() as executor:
        shown = executor.submit(read_terminal, terminal)
        try:
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=stderr, text=True)
        finally:
            os.close(stderr)

    assert done.returncode == 0, shown.result()
    assert all(path in done.stdout for path in find_images([str(folder)]))
    assert "X-rays" in shown.result()
    assert str(folder) not in shown.result()


def test_every_overlay_has_another_name(call_rest, folder, tmp_path):
    overlays = tmp_path / "deep" / "overlays"
    done = call_rest("--json", "--overlay", overlays, folder)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({answer["overlay"] for answer in answers}) == 10
    assert {str(path) for path in overlays.iterdir()} == {answer["overlay"] for answer in answers}
    for answer in answers:
        assert_same_picture(answer["overlay"], overlay_of(Path(answer["file"]).read_bytes()))


def assert_same_picture(path: str, png: bytes) -> None:
    np.testing.assert_array_equal(cv2.imread(path, -1), cv2.imdecode(np.frombuffer(png, np.uint8), -1))


def test_overlays_of_an_earlier_run_are_replaced(call_rest, folder, tmp_path):
    overlays = tmp_path / "overlays"
    first = call_rest("--json", "--overlay", overlays, folder)
    before = sorted(overlays.iterdir())
    second = call_rest("--json", "--overlay", f"{overlays}/", folder)

    assert (first.returncode, second.returncode) == (0, 0)
    assert len(before) == 10
    assert sorted(overlays.iterdir()) == before


@pytest.mark.parametrize("foreign", ["image0.png", "notes.txt", "deep/image0.png", ".hidden"])
def test_a_folder_with_other_files_gets_no_overlays(call_rest, server, folder, tmp_path, foreign):
    overlays = tmp_path / "overlays"
    (overlays / foreign).parent.mkdir(parents=True)
    (overlays / foreign).write_bytes(encoded_image(5))

    done = call_rest("--overlay", overlays, folder)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert f"holds {foreign!r}, which does not belong to a folder of overlays" in done.stderr
    assert [path for path in overlays.rglob("*") if path.is_file()] == [overlays / foreign]
    assert (overlays / foreign).read_bytes() == encoded_image(5)
    assert server.model.requests == []


def test_overlays_are_not_written_beside_the_x_rays(call_rest, server, folder, tmp_path):
    for overlays in (folder, folder / "folder0", tmp_path):
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        done = call_rest("--overlay", overlays, folder)
        assert (done.returncode, done.stdout) == (2, "")
        assert "where overlays are to be written: choose another folder" in done.stderr
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert server.model.requests == []


def test_overlays_are_not_taken_for_x_rays_by_the_next_run(call_rest, folder):
    assert call_rest("--overlay", folder / "overlays", folder).returncode == 0

    done = call_rest("--overlay", folder / "overlays", folder)

    assert done.returncode == 2
    assert "where overlays are to be written" in done.stderr


def limit_size_of_files() -> None:
    """Makes the next write of more than 100 bytes fail, as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def test_a_full_disk_takes_one_line(server, folder, tmp_path):
    options = ["--transport", "rest", "--address", server.address("rest"), "--overlay", tmp_path / "overlays"]
    done = subprocess.run(
        [sys.executable, "-m", "serving.client", *options, "--json", folder],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=limit_size_of_files,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "image0.png': File too large" in done.stderr
    assert list((tmp_path / "overlays").iterdir()) == []


def test_an_overlay_of_a_long_name(call_rest, tmp_path):
    name = "R\u00f6ntgen" * 31  # 248 bytes
    (tmp_path / f"{name}.png").write_bytes(encoded_image(1))

    done = call_rest("--json", "--overlay", tmp_path / "overlays", tmp_path / f"{name}.png")

    assert done.returncode == 0, done.stderr
    (overlay,) = (tmp_path / "overlays").iterdir()
    assert overlay.name.startswith("R\u00f6ntgenR\u00f6ntgen")


def test_overlay_in_the_table(call_rest, folder, tmp_path):
    done = call_rest("--overlay", tmp_path / "overlays", folder / "folder0" / "image0.png")
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "overlays" / "image0.png") in done.stdout


def test_bad_images_among_good_ones(call_rest, folder, tmp_path, broken_image):
    (tmp_path / "broken.png").write_bytes(broken_image)
    (tmp_path / "text.png").write_bytes(b"hello")
    bad = [tmp_path / "broken.png", tmp_path / "text.png", tmp_path / "absent.png"]
    done = call_rest("--json", *bad, folder)
    assert done.returncode == 2
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["valid"] for answer in answers] == [False] * 3 + [True] * 10
    lines = done.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(path) for path in bad]
    assert "Traceback" not in done.stderr


def test_a_file_name_that_is_not_utf8(call_rest, tmp_path):
    file = tmp_path / "xrays" / os.fsdecode(b"x\xff[red].png")
    overlay = tmp_path / "overlays" / file.name
    file.parent.mkdir()
    file.write_bytes(encoded_image(1))
    for form in ((), ("--json",), ("--csv",)):
        done = call_rest(*form, "--overlay", overlay.parent, file.parent)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("[red].png") == 2
        if form == ("--json",):
            answer = json.loads(done.stdout)
            assert (answer["file"], answer["overlay"]) == (str(file), str(overlay))
        else:
            assert done.stdout.count("x\\udcff[red].png") == 2
    assert overlay.exists()


def test_what_could_not_be_read_has_no_probability(call_rest, folder, tmp_path, broken_image):
    (tmp_path / "broken.png").write_bytes(broken_image)
    bad = [tmp_path / "broken.png", tmp_path / "absent.png"]

    rows = list(csv.DictReader(io.StringIO(call_rest("--csv", *bad, folder).stdout)))
    answers = [json.loads(line) for line in call_rest("--json", *bad, folder).stdout.splitlines()]
    table = call_rest(*bad, folder).stdout

    assert [row["probability"] for row in rows[:2]] == ["", ""]
    assert [answer["probability"] for answer in answers[:2]] == [None, None]
    assert {row["label"] for row in rows[:2]} == {"INVALID"}
    assert all(0 <= float(row["probability"]) <= 1 for row in rows[2:])
    assert all(0 <= answer["probability"] <= 1 for answer in answers[2:])
    assert "-1" not in table.replace(str(tmp_path), "")


OTHER_FORMATS = {
    "WebP": ("a.webp", {"format": "WEBP"}),
    "TIFF": ("b.tif", {"format": "TIFF"}),
    "JPEG 2000": ("c.jp2", {"format": "JPEG2000"}),
}


@pytest.fixture
def other_formats(tmp_path) -> dict[str, Path]:
    """A folder with a file of each of several formats that are not read, by the name of the format."""
    folder = tmp_path / "others"
    folder.mkdir()
    for name, options in OTHER_FORMATS.values():
        Image.new("L", (20, 20), 128).save(folder / name, **options)
    (folder / "notes.txt").write_text("no image")
    return {kind: folder / name for kind, (name, _) in OTHER_FORMATS.items()}


def test_other_formats_in_folders_are_counted_in_one_line(call_rest, server, other_formats, folder):
    done = call_rest("--json", other_formats["TIFF"].parent, folder)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 10
    (line,) = done.stderr.splitlines()
    assert line.startswith("files passed over: 3; ")
    for kind, path in other_formats.items():
        assert f"{kind}: 1 (first {str(path)!r})" in line


def test_a_folder_of_other_formats_only(call_rest, server, other_formats):
    done = call_rest(other_formats["TIFF"].parent)

    assert (done.returncode, done.stdout) == (2, "")
    assert "no JPEG, PNG, BMP, GIF or DICOM file in" in done.stderr
    assert "files passed over: 3" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_other_formats_that_are_named_are_refused_before_anything_is_sent(call_rest, server, other_formats):
    done = call_rest("--json", *other_formats.values())

    assert done.returncode == 2
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for (kind, path), answer, line in zip(
        other_formats.items(), answers, done.stderr.splitlines(), strict=True
    ):
        assert (answer["file"], answer["valid"], answer["probability"]) == (str(path), False, None)
        assert kind in answer["reason"]
        assert line == f"{path}: {answer['reason']}"
    assert server.model.requests == []


def test_images_are_recognised_whatever_their_names(call_rest, tmp_path):
    for name in ("no_suffix", "scan.jfif", "scan.tif", "B.JPG"):
        (tmp_path / name).write_bytes(encoded_image(3, suffix=".jpg"))

    assert [Path(file).name for file in find_images([str(tmp_path)])] == sorted(
        ["no_suffix", "scan.jfif", "scan.tif", "B.JPG"]
    )


def test_links_are_followed_but_not_in_a_circle(folder, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "xrays").symlink_to(folder)
    (linked / "circle").symlink_to(linked)
    (linked / "again.png").symlink_to(folder / "folder0/image0.png")
    (linked / "broken.png").symlink_to("nowhere")

    found = find_images([str(linked)])

    assert len(found) == 11  # the images of the folder, and the link that leads nowhere
    assert len({os.path.realpath(file) for file in found}) == 11


def test_a_folder_that_cannot_be_listed(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"the folder '.*' cannot be listed: Permission denied"):
        find_images([str(folder)])


def test_a_pipe_is_not_read(call_rest, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")

    done = call_rest(tmp_path)

    assert done.returncode == 2
    assert "pipe.png: not a file" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "IMAGE"),
        (("--json", "--csv", "x.png"), "not both"),
        (("--version", "1", "--label", "stable", "x.png"), "not both"),
        (("--batch-size", "0", "x.png"), "batch_size must be at least 1"),
        (("--tls-key", "key.pem", "x.png"), "certificate and key go together"),
        (("--tls-ca", "absent.pem", "--transport", "rest", "x.png"), "absent.pem"),
    ],
)
def test_mistakes_take_one_line(arguments, said):
    done = call(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize("module", ["serving.client", "serving.load"])
def test_the_help_names_every_format_that_is_sent(module):
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], check=False, capture_output=True, text=True
    )
    assert expected(FORMATS).replace(" ", "") in "".join(done.stdout.replace("│", "").split())


def test_a_folder_without_images(tmp_path):
    done = call(tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"python -m serving.client: no JPEG, PNG, BMP, GIF or DICOM file in {str(tmp_path)!r}\n"
    )


def test_no_server(unused_address, folder):
    done = call("--address", unused_address, "--transport", "rest", folder)
    assert done.returncode == 2
    assert f"no server at {unused_address}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_model(call_rest, folder):
    done = call_rest("--model", "absent", folder)
    assert done.returncode == 2
    assert "does not serve model 'absent'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("path", ["notes.txt", "notes.txt/overlays"])
def test_overlay_folder_that_is_a_file(call_rest, server, folder, path):
    done = call_rest("--overlay", folder / path, folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "notes.txt" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (folder / "notes.txt").read_bytes() == b"no image"
    assert server.model.requests == []
