import json
import sys
from typing import get_args

import pytest

from pipeline.benchmark import comparisons, flops, peers, report, stages, train_step
from pipeline.benchmark.__main__ import main
from pipeline.benchmark.options import BenchmarkConfig
from pipeline.benchmark.result import Result, skipped
from pipeline.benchmark.timing import Rates, Timer
from pipeline.benchmark.train_step import Case
from pipeline.input.reader import ReaderName
from pipeline.training.settings import ModelConfig
from tfrecords_builder.cli.command import parse
from tfrecords_builder.errors import UserError, describe_file_error


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Runs the benchmark on a few images; returns what it printed and what it wrote."""
    monkeypatch.setattr(train_step, "MODELS", {"small": ModelConfig(filters=(2,), convolutions=1)})
    monkeypatch.setattr(train_step, "supported", lambda: ("float32",))
    monkeypatch.setattr(
        train_step,
        "cases",
        lambda _: [Case("small", 8, "float32", xla=False, augmented=aug) for aug in (False, True)],
    )
    monkeypatch.setitem(flops.MATRIX_SIDES, "cpu", 64)
    monkeypatch.setattr(sys, "argv", ["benchmark", "--images", "48"])

    def run(capsys, **settings):
        settings = {
            "batch_sizes": (8,),
            "image_size": 32,
            "step_image_size": 16,
            "images": 48,
            "timer": Timer(repeats=2, seconds=0.01),
            "output": str(tmp_path / "out"),
        } | settings
        main(BenchmarkConfig(**settings))
        return capsys.readouterr().out, json.loads((tmp_path / "out" / report.JSON).read_text())

    return run


@pytest.mark.slow
def test_a_run_leaves_a_table_a_json_and_a_chart(tiny, capsys, tmp_path):
    printed, written = tiny(capsys)

    groups = {result["group"] for result in written["results"]}
    assert groups == {
        "the machine's limits", "input alone", "training step alone", "input and training together",
    }  # fmt: skip
    for result in written["results"]:
        if "skipped" not in result:
            assert len(result["repeats"]) == 2
            assert 0 < result["least"] <= result["median"] <= result["most"]
    together = [result for result in written["results"] if "goodput" in result]
    assert len(together) == 2
    for result in together:
        assert result["input_alone"] > 0
        assert result["step_alone"] > 0
        assert result["goodput"] > 0
        assert 0 <= result["waiting"] < 1
    assert written["command"] == "python -m pipeline.benchmark --images 48"
    assert {"keras", "numpy", "simplejpeg", "tensorflow"} <= set(written["machine"]["packages"])
    assert "raw, mapped, shuffled / plain read() of the shards" in written["comparisons"]
    assert "goodput" in printed
    assert (tmp_path / "out" / report.CHART).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_given_records_and_stages_are_what_is_measured(tiny, capsys, write_records):
    records = write_records({"train": 40}, encoding="png")

    _, written = tiny(capsys, records=records, stages=("limits", "input"))

    assert {result["group"] for result in written["results"]} == {"the machine's limits", "input alone"}
    names = {result["name"] for result in written["results"]}
    assert {f"raw, {reader}, shuffled" for reader in get_args(ReaderName)} <= names
    assert {"JPEG, mapped, shuffled", "JPEG, streamed, shuffled"} <= names


@pytest.mark.slow
def test_peers_that_are_not_installed_are_said_to_be(tiny, capsys, monkeypatch):
    monkeypatch.setattr(peers, "_is_installed", lambda _: False)

    _, written = tiny(capsys, stages=("limits", "step"), peers=True)

    missing = [result for result in written["results"] if "peers'" in result["group"]]
    assert len(missing) == 6
    assert all("chest-xray-pipeline[peers]" in result["skipped"] for result in missing)


@pytest.mark.parametrize("output", ["/proc/none", "file/below"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(
    tiny, capsys, tmp_path, monkeypatch, output
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(stages, "measure", lambda *_: pytest.fail("was measured"))

    with pytest.raises(OSError, match=r"\[Errno") as failure:
        tiny(capsys, output=output)

    assert describe_file_error(failure.value).startswith(f"cannot read or write {output!r}: ")


def test_comparisons_are_medians_of_ratios():
    results = [
        Result("input alone", "raw, mapped, shuffled", Rates((50.0, 60.0, 70.0))),
        Result("input alone", "raw, memory, shuffled", Rates((300.0, 300.0, 300.0))),
        Result("the machine's limits", "plain read() of the shards", Rates((100.0, 100.0, 50.0))),
        Result("peers' input", "DALI, TFRecords, raw, shuffled", Rates((40.0, 40.0, 40.0))),
        Result("peers' input", "Keras image_dataset_from_directory, small JPEG", Rates((4.0, 4.0, 4.0))),
        skipped("peers' input", "grain + ArrayRecord, raw, global shuffle", "not installed"),
    ]

    assert comparisons.compare(results) == {
        "raw, mapped, shuffled / plain read() of the shards": 0.6,
        "raw, mapped, shuffled / DALI, TFRecords, raw, shuffled": 1.5,
        "raw, memory, shuffled / the fastest peer": 7.5,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch-sizes", "0"], ["--repeats", "0"], ["--seconds", "-1"], ["--stages", "nothing"],
        ["--image-size", "4"], ["--images", "5"], ["--no-such"],
    ],
)  # fmt: skip
def test_arguments_that_measure_nothing_are_refused(arguments):
    with pytest.raises(UserError, match="--help"):
        parse(BenchmarkConfig, "python -m pipeline.benchmark", arguments)


def test_the_command_has_the_options_that_are_promised():
    config = parse(
        BenchmarkConfig,
        "python -m pipeline.benchmark",
        [
            "records",
            "--batch-sizes",
            "8",
            "16",
            "--repeats",
            "3",
            "--seconds",
            "2",
            "--stages",
            "input",
            "--peers",
        ],
    )

    assert config == BenchmarkConfig("records", (8, 16), timer=Timer(3, 2.0), stages=("input",), peers=True)
