"""What a user gets wrong: one clear line, exit code 2, nothing half-written. The commands are run as such."""

import os
import resource
import shutil
import socket
from pathlib import Path

import pytest


def assert_refused(result, *words):
    code, out, lines = result
    assert code == 2
    assert out == ""
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]


def assert_nothing_written(*folders):
    for folder in folders:
        assert not [path for path in Path(folder).rglob("*") if path.is_file()]


def test_a_source_that_is_missing(command):
    assert_refused(command("tfrecords_builder", "missing", "records"), "missing", "no folder")
    assert_nothing_written(".")


def test_a_source_that_is_empty(command):
    Path("empty").mkdir()
    assert_refused(command("tfrecords_builder", "empty", "records"), "empty", "expected")
    assert_nothing_written(".")


def test_a_source_of_one_class(command, source):
    shutil.copytree(source / "train/NORMAL", "one/train/NORMAL")
    assert_refused(command("tfrecords_builder", "one", "records"), "train/PNEUMONIA", "both classes")
    assert_nothing_written("records")


def test_unreadable_images_are_listed_at_once(command, source, caplog):
    shutil.copytree(source, "damaged")
    damaged = sorted(Path("damaged/train/NORMAL").iterdir())[:2]
    damaged[0].write_bytes(b"no image")
    damaged[1].write_bytes(damaged[1].read_bytes()[:200])

    assert_refused(command("tfrecords_builder", "damaged", "records"), "2 images", "--on-error skip")

    for path in damaged:
        assert any(f"NORMAL/{path.name}': " in message for message in caplog.messages)
    assert_nothing_written("records")


def test_an_option_that_does_not_exist(command):
    assert_refused(command("tfrecords_builder", "a", "b", "--no-such"), "--no-such")


def test_a_setting_that_cannot_be(command):
    assert_refused(command("tfrecords_builder", "a", "b", "--border", "0.7"), "border", "0.7")


def test_a_synthetic_folder_in_the_way(command):
    Path("chest_xray").mkdir()
    Path("chest_xray/mine.txt").write_text("mine")
    for arguments in (["chest_xray"], ["chest_xray", "--overwrite"]):
        assert_refused(command("tfrecords_builder.synthesize", *arguments), "chest_xray", "mine.txt")
    assert Path("chest_xray/mine.txt").read_text() == "mine"


@pytest.mark.parametrize("module", ["pipeline.train", "tuning.search"])
def test_records_that_are_missing(command, module):
    assert_refused(command(module, "missing", "run"), "missing", "tfrecords_builder")
    assert_nothing_written(".")


def test_a_run_without_a_model(command, records):
    Path("run").mkdir()
    for arguments in (
        ("pipeline.evaluate", "run", records),
        ("serving.export", "run", "models"),
    ):
        assert_refused(command(*arguments), "'run'", "pipeline.train")
    assert_nothing_written(".")


def test_explaining_with_a_run_without_a_model(command, source):
    image = next((source / "test/NORMAL").iterdir())
    assert_refused(command("pipeline.gradcam", "run", image), "'run'", "pipeline.train")


def test_records_of_another_size_than_the_models(command, finished_run, write_records):
    other = write_records({"test": 4}, side=48)
    before = sorted(Path(finished_run).rglob("*"))
    assert_refused(command("pipeline.evaluate", finished_run, other), "image_size=48", "image_size=32")
    assert sorted(Path(finished_run).rglob("*")) == before


def test_explaining_what_is_no_image(command, finished_run):
    Path("notes.txt").write_text("no image")
    assert_refused(command("pipeline.gradcam", finished_run, "notes.txt"), "notes.txt")
    assert_refused(command("pipeline.gradcam", finished_run, "missing.png"), "missing.png")
    assert not Path("gradcam").exists()


def test_serving_a_folder_without_a_model(command):
    assert_refused(command("serving.local", "models", "--grpc-port", "0", "--rest-port", "0"), "models")


def test_serving_at_a_port_in_use(command, models):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_refused(
            command("serving.local", models, "--grpc-port", "0", "--rest-port", port),
            str(port),
            "--rest-port",
        )


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_asking_a_server_that_is_not_there(command, source, transport):
    image = next((source / "test/NORMAL").iterdir())
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    result = command("serving.client", image, "--transport", transport, "--address", address)
    assert_refused(result, address, "serving.local")


def test_sending_what_is_no_image(command, local_server, caplog):
    Path("notes.png").write_text("no image")
    code, out, _ = command("serving.client", "notes.png", "--address", f"127.0.0.1:{local_server.grpc}")
    assert code == 2
    assert "INVALID" in out
    assert caplog.messages[-1].startswith("notes.png: not a JPEG")


WRITING = {
    "build": ["tfrecords_builder", "{source}", "{target}"],
    "synthesize": ["tfrecords_builder.synthesize", "{target}"],
    "audit": ["tfrecords_builder.audit", "{source}", "--output", "{target}"],
    "train": ["pipeline.train", "{records}", "{target}", "--precision", "float32"],
    "search": [
        "tuning.search",
        "{records}",
        "{target}",
        "--precision",
        "float32",
        "--tuner",
        "random",
        "--workers",
        "0",
    ],
    "gradcam": ["pipeline.gradcam", "{run}", "{image}", "--output", "{target}"],
    "export": ["serving.export", "{run}", "{target}"],
}
"""Commands that write into {target}."""


@pytest.fixture
def writing(command, source, records, finished_run):
    """Runs one of the commands that write."""
    image = next((source / "test/NORMAL").iterdir())

    def run(name: str, target: object) -> tuple[int, str, list[str]]:
        places = {"source": source, "records": records, "run": finished_run, "image": image, "target": target}
        module, *arguments = [argument.format(**places) for argument in WRITING[name]]
        return command(module, *arguments)

    return run


@pytest.mark.parametrize("name", WRITING)
@pytest.mark.parametrize("target", ["/proc/none", "file", "file/below", "/dev/null", "x" * 300])
def test_a_target_that_cannot_be_written(writing, name, target):
    Path("file").write_text("mine")

    assert_refused(writing(name, target), "file" if target == "file/below" else Path(target).name)

    assert [(path.name, path.read_text()) for path in Path().iterdir()] == [("file", "mine")]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "search")) for name in WRITING]
)
def test_a_target_without_space(writing, name):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096 if name in {"audit", "synthesize"} else 16384, limits[1]))
    try:
        result = writing(name, "target")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert_refused(result, "File too large")
    assert not [path for path in Path("target").rglob("*") if path.name.endswith(".tmp")]


def test_explaining_an_image_whose_name_is_not_utf_8(command, finished_run, source):
    name = os.fsdecode(b"x\xff.jpeg")
    shutil.copy(next((source / "test/NORMAL").iterdir()), name)

    code, out, lines = command("pipeline.gradcam", finished_run, name)

    assert (code, lines) == (0, [])
    assert "\tx\\udcff.jpeg\tgradcam/0000-x\\udcff.png" in out
    assert [os.fsencode(path.name) for path in Path("gradcam").iterdir()] == [b"0000-x\xff.png"]
