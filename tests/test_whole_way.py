"""From image files to the served prediction: what is served is what was evaluated."""

import csv
from pathlib import Path

import pytest

from pipeline.evaluation.evaluate import evaluate
from pipeline.training.fit import train
from serving.client import Client
from serving.export import export
from serving.server.assembly import running_server
from serving.server.settings import ServerSettings
from tests.small_run import quick_training
from tfrecords_builder import Preprocessing
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig

IMAGES_PER_CLASS = {"train": 24, "test": 8}


@pytest.fixture(scope="session")
def some_real_xrays(real_xrays, tmp_path_factory) -> Path:
    """Links to a few of the real X-rays."""
    folder = tmp_path_factory.mktemp("real") / "chest_xray"
    for split, count in IMAGES_PER_CLASS.items():
        for class_name in ("NORMAL", "PNEUMONIA"):
            target = folder / split / class_name
            target.mkdir(parents=True)
            for image in sorted((real_xrays / split / class_name).iterdir())[:count]:
                (target / image.name).symlink_to(image)
    return folder


@pytest.mark.parametrize("images", ["source", pytest.param("some_real_xrays", marks=pytest.mark.slow)])
def test_the_served_probability_is_the_evaluated_one(images, request, tmp_path):
    source = request.getfixturevalue(images)
    records, run, models = (str(tmp_path / name) for name in ("records", "run", "models"))
    build(BuildConfig(str(source), records, preprocessing=Preprocessing(image_size=32), val_fraction=0.2))
    train(quick_training(records, run, epochs=2))
    evaluate(run, records)
    export(run, models)
    with (Path(run) / "evaluation/records-test/predictions.csv").open() as file:
        evaluated = {row["source"]: float(row["probability"]) for row in csv.DictReader(file)}
    paths = [str(source / name) for name in evaluated]

    with running_server(ServerSettings(models, grpc_port=0, rest_port=0)) as ports:
        for transport, port in (("grpc", ports.grpc), ("rest", ports.rest)):
            with Client(f"127.0.0.1:{port}", transport) as client:
                served = [answer.probability for answer in client.predict(paths)]
            assert served == pytest.approx(list(evaluated.values()), abs=0.01)
