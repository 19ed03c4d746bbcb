"""`python -m serving.client` as its users call it."""

import contextlib
import csv
import io
import json
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.client.images import find_images

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
        assert Path(answer["overlay"]).read_bytes() == overlay_of(Path(answer["file"]).read_bytes())


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
    (tmp_path / os.fsdecode(b"x\xff[red].png")).write_bytes(encoded_image(1))
    for form in ((), ("--json",), ("--csv",)):
        done = call_rest(*form, tmp_path)
        assert done.returncode == 0, done.stderr
        assert "[red].png" in done.stdout


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


def test_a_folder_without_images(tmp_path):
    done = call(tmp_path)
    assert done.returncode == 2
    assert done.stderr == (f"python -m serving.client: no JPEG, PNG, BMP or GIF file in {str(tmp_path)!r}\n")


def test_no_server(unused_address, folder):
    for transport in ("grpc", "rest"):
        done = call("--address", unused_address, "--transport", transport, folder)
        assert done.returncode == 2
        assert f"no server at {unused_address}" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_no_model(call_rest, folder):
    done = call_rest("--model", "absent", folder)
    assert done.returncode == 2
    assert "does not serve model 'absent'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_overlay_folder_that_is_a_file(call_rest, folder):
    done = call_rest("--overlay", folder / "notes.txt", folder)
    assert done.returncode == 2
    assert "cannot make the folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1
