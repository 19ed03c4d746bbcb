"""No command deletes, overwrites or adds a file where files are that it did not write."""

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

HOME = {
    ".bashrc": "alias ll='ls -l'",
    "photo.jpg": "a photo",
    "thesis/chapter1.tex": r"\chapter{Introduction}",
    "models/1/model.bin": "mine",
}
"""A folder that has nothing to do with this project."""
NAMESAKES = {
    "dataset.json": '{"name": "my own records"}',
    "train-00000-of-00001.tfrecord": "my own records",
    "unfinished/train-00000-of-00001.tfrecord": "my own records",
    "chest_xray/train/NORMAL/IM-0115-0001.jpeg": "a real X-ray",
    "train/NORMAL/IM-0115-0001.jpeg": "a real X-ray",
    "lesions.json": '["my own lesions"]',
    "config.json": '{"optimizer": "sgd"}',
    "environment.json": "{}",
    "history.csv": "loss\n0.1\n",
    "model.keras": "another model",
    "operating_point.json": '{"threshold": 0.1}',
    "logs/train/notes.txt": "mine",
    "checkpoint/latest.json": "{}",
    "checkpoint/epoch-0001-step-00000000.weights.h5": "mine",
    "evaluation/records-test/metrics.json": '{"auc": 0.5}',
    "evaluation/records-test/roc.png": "\x89PNG mine",
    "search/settings.json": "{}",
    "search/random/oracle.json": "[]",
    "audit.json": '{"vulnerabilities": {}}',
    "audit.html": "<title>npm</title>",
    "benchmark.json": '{"benchmarks": []}',
    "benchmark.png": "\x89PNG mine",
    "xray.png": "\x89PNG mine",
    "0000-xray.png": "\x89PNG mine",
    "report.json": "{}",
    "report.png": "\x89PNG mine",
    "pneumonia/notes.txt": "mine",
    "overlays/xray.png": "mine",
    "server.log": "mine",
}
"""Files of the names that commands of this project write, with contents of their owner."""


def state_of(folder: Path) -> dict[str, tuple]:
    """Everything below a folder, and the folder itself: kind, content and time of the last change."""
    state = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        state[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return state


@pytest.fixture(params=["home", "namesakes", "link"])
def foreign(request, tmp_path) -> Path:
    """A folder that no command of this project made; its name is a pattern that fits the one beside it."""
    root = tmp_path / "foreign"
    for name in ("folder[1]", "folder1"):
        for path, content in (NAMESAKES if request.param == "namesakes" else HOME).items():
            file = root / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        (root / name / "empty").mkdir()
    if request.param != "link":
        return root / "folder[1]"
    (root / "link").symlink_to("folder[1]")
    return root / "link"


@pytest.fixture(scope="session")
def places(source, records, finished_run) -> dict[str, Path | str]:
    """Folders of this project by kind, and an X-ray."""
    image = next((source / "test/NORMAL").iterdir())
    return {"source": source, "records": records, "run": finished_run, "image": image}


@pytest.fixture
def copy(places, tmp_path):
    """Copies a folder of this project into `tmp_path/all`."""
    return lambda kind: Path(shutil.copytree(places[kind], tmp_path / "all" / kind))


def assert_refused_and_unchanged(run, folder: Path) -> None:
    before = state_of(folder)
    code, out, lines = run()
    assert (code, out) == (2, "")
    assert len(lines) == 1, lines
    assert state_of(folder) == before


TARGETS = {
    "build": ["tfrecords_builder", "{source}", "{foreign}"],
    "build anew": ["tfrecords_builder", "{source}", "{foreign}", "--overwrite"],
    "build with beam": ["tfrecords_builder", "{source}", "{foreign}", "--overwrite", "--engine", "beam"],
    "build with a download": ["tfrecords_builder", "{foreign}", "new", "--download"],
    "synthesize": ["tfrecords_builder.synthesize", "{foreign}"],
    "synthesize anew": ["tfrecords_builder.synthesize", "{foreign}", "--overwrite"],
    "audit": ["tfrecords_builder.audit", "{source}", "--output", "{foreign}"],
    "builder's benchmark": ["tfrecords_builder.benchmark", "{foreign}/empty"],
    "train": ["pipeline.train", "{records}", "{foreign}"],
    "train anew": ["pipeline.train", "{records}", "{foreign}", "--overwrite"],
    "search": ["tuning.search", "{records}", "{foreign}"],
    "search anew": ["tuning.search", "{records}", "{foreign}", "--overwrite"],
    "evaluate": ["pipeline.evaluate", "{foreign}", "{records}"],
    "gradcam": ["pipeline.gradcam", "{run}", "{image}", "--output", "{foreign}"],
    "benchmark": ["pipeline.benchmark", "--output", "{foreign}"],
    "export": ["serving.export", "{run}", "{foreign}"],
    "export of a version": ["serving.export", "{run}", "{foreign}", "--version", "7"],
    "client": ["serving.client", "{image}", "--overlay", "{foreign}"],
    "client over REST": ["serving.client", "{image}", "--overlay", "{foreign}", "--transport", "rest"],
    "load": ["serving.load", "--output", "{foreign}/report.json", "--transport", "rest"],
    "build behind a URL": ["tfrecords_builder", "{source}", "file://{foreign}", "--overwrite"],
    "train behind a URL": ["pipeline.train", "{records}", "file://{foreign}", "--overwrite"],
    "search behind a URL": ["tuning.search", "{records}", "file://{foreign}", "--overwrite"],
}
"""Every command, aimed at {foreign} with every option that writes."""


@pytest.mark.parametrize("arguments", TARGETS.values(), ids=TARGETS)
def test_a_foreign_folder_is_refused_and_stays_as_it_is(command, foreign, places, arguments):
    module, *rest = [argument.format(foreign=foreign, **places) for argument in arguments]

    assert_refused_and_unchanged(lambda: command(module, *rest), foreign.parent)


def test_a_foreign_folder_that_is_verified_stays_as_it_is(command, foreign):
    before = state_of(foreign.parent)

    assert command("tfrecords_builder.verify", foreign)[0] in {1, 2}

    assert state_of(foreign.parent) == before


def test_the_demo_refuses_a_foreign_folder(foreign):
    def run():
        demo = subprocess.run(["./demo.sh", foreign], cwd=ROOT, capture_output=True, text=True, check=False)
        return demo.returncode, demo.stdout, demo.stderr.splitlines()

    assert_refused_and_unchanged(run, foreign.parent)


def test_the_demo_keeps_what_a_user_put_into_its_folder(tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    for name in ("made-by-demo.sh", "mine.txt"):
        (folder / name).write_text("")

    def run():
        demo = subprocess.run(["./demo.sh", folder], cwd=ROOT, capture_output=True, text=True, check=False)
        return demo.returncode, demo.stdout, demo.stderr.splitlines()

    assert_refused_and_unchanged(run, folder)


WRONG_TARGETS = {
    "train into records": ["pipeline.train", "{run}", "{records}"],
    "train into the same records": ["pipeline.train", "{records}", "{records}"],
    "search into records": ["tuning.search", "{run}", "{records}"],
    "build into a run": ["tfrecords_builder", "{source}", "{run}"],
    "build into the source": ["tfrecords_builder", "{source}", "{source}"],
    "draw into a run": ["tfrecords_builder.synthesize", "{run}"],
}
"""Commands whose folders are mixed up."""


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
@pytest.mark.parametrize("arguments", WRONG_TARGETS.values(), ids=WRONG_TARGETS)
def test_a_folder_of_another_kind_is_refused(command, copy, tmp_path, arguments, options):
    folders = {kind: copy(kind) for kind in ("source", "records", "run")}
    module, *rest = [argument.format(**folders) for argument in arguments]

    assert_refused_and_unchanged(lambda: command(module, *rest, *options), tmp_path / "all")


@pytest.mark.parametrize("module", ["pipeline.train", "tuning.search"])
@pytest.mark.parametrize("name", ["notes.txt", "evaluation/xray.png", "logs/train/notes.txt", "model.keras"])
def test_a_run_with_a_file_of_the_user_is_not_replaced(command, copy, records, module, name):
    run = copy("run")
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text("mine")

    assert_refused_and_unchanged(lambda: command(module, records, run, "--overwrite"), run)


def test_a_run_with_files_of_the_user_is_continued(command, copy, records):
    run = copy("run")
    (run / "notes.txt").write_text("mine")

    code, out, _ = command(
        "pipeline.train", records, run, "--epochs", 6, "--batch-size", 16, "--learning-rate", 1e-2,
        "--ema", 0.8, "--precision", "float32", "--model.filters", 4, 8, "--model.convolutions", 1,
        "--model.dense-units", 8, "--model.dropout", 0.2,
    )  # fmt: skip

    assert (code, out) == (0, f"{run}\n")
    assert (run / "notes.txt").read_text() == "mine"


def test_an_evaluation_does_not_replace_a_file_of_the_user(command, copy, records):
    run = copy("run")
    folder = run / f"evaluation/{Path(records).name}-test"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "predictions.csv").write_text("mine")

    assert_refused_and_unchanged(lambda: command("pipeline.evaluate", run, records), run)


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_records_with_a_shard_of_the_user_are_not_rebuilt(command, source, tmp_path, options):
    folder = tmp_path / "all" / "records"
    assert command("tfrecords_builder", source, folder)[0] == 0
    (folder / "test-00000-of-00099.tfrecord").write_text("mine")

    assert_refused_and_unchanged(
        lambda: command("tfrecords_builder", source, folder, "--seed", 1, *options), tmp_path / "all"
    )


def test_building_anew_touches_no_folder_that_a_pattern_would_find(command, source, tmp_path):
    target, *beside = (tmp_path / name for name in ("records[1x]*?", "records1", "recordsx", "recordsxyz"))
    for folder in (target, *beside):
        assert command("tfrecords_builder", source, folder, "--shards", 2)[0] == 0
    before = [state_of(folder) for folder in beside]

    assert command("tfrecords_builder", source, target, "--shards", 1, "--overwrite")[0] == 0

    assert [state_of(folder) for folder in beside] == before
    kinds = itertools.product(("train", "val", "test"), ("tfrecord", "index"))
    shards = {f"{split}-00000-of-00001.{kind}" for split, kind in kinds}
    assert {path.name for path in target.iterdir()} == {"dataset.json", *shards}
    assert command("tfrecords_builder.verify", target)[0] == 0


def test_a_folder_of_a_system_only_counts_as_empty(command, source, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / ".DS_Store").write_bytes(b"of the Finder")

    assert command("tfrecords_builder", source, folder)[0] == 0
    assert command("tfrecords_builder", source, folder, "--overwrite")[0] == 0

    assert (folder / ".DS_Store").read_bytes() == b"of the Finder"
    assert (folder / "dataset.json").exists()
