import errno
import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from pipeline import runs
from serving.export import export
from serving.exporting import publish, saved_model
from serving.exporting.comparison import ExportRefused
from serving.version_folders import newest_version, version_folders
from tfrecords_builder.errors import UserError


def names(folder) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture
def quick_export(finished_run, monkeypatch):
    """Exports the run with an empty SavedModel, for tests of how versions are named."""

    def write(run, folder):
        Path(folder).mkdir(parents=True)
        (Path(folder) / "saved_model.pb").touch()

    monkeypatch.setattr(saved_model, "write", write)
    monkeypatch.setattr(publish, "refuse_other_answers", lambda run, folder: None)
    return lambda models, version=None: export(finished_run, models, version)


def test_versions_count_up(quick_export, tmp_path):
    first = quick_export(str(tmp_path))
    second = quick_export(str(tmp_path), version=7)
    third = quick_export(str(tmp_path))

    assert [Path(folder).name for folder in (first, second, third)] == ["1", "7", "8"]
    assert names(tmp_path / "pneumonia") == ["1", "7", "8"]


def test_a_version_is_never_replaced(finished_run, models):
    before = (Path(models) / "pneumonia/1/saved_model.pb").read_bytes()

    with pytest.raises(UserError, match="never replaced"):
        export(finished_run, models, version=1)

    assert (Path(models) / "pneumonia/1/saved_model.pb").read_bytes() == before


def test_a_version_identifies_its_run(finished_run, models):
    inside = Path(models) / "pneumonia/1/assets.extra/run"

    for name in (
        "config.json",
        "environment.json",
        "calibration.json",
        "operating_point.json",
        "dataset.json",
    ):
        assert (inside / name).read_bytes() == (Path(finished_run) / name).read_bytes()
    digest = hashlib.sha256((Path(finished_run) / "model.keras").read_bytes()).hexdigest()
    assert (inside / "model.keras.sha256").read_text() == f"{digest}\n"


def test_a_version_has_the_figures_on_the_test_split_of_its_training(finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run, ignore=shutil.ignore_patterns("evaluation"))
    of_training, of_others = (run / "dataset.json").read_text(), "{}"
    for name, content in (("a-test", of_others), ("b-val", of_training), ("c-test", of_training)):
        (run / "evaluation" / name).mkdir(parents=True)
        (run / "evaluation" / name / "dataset.json").write_text(content)
        (run / "evaluation" / name / "metrics.json").write_text(name)

    saved_model._write_origin(runs.load(str(run)), str(tmp_path / "version"))

    assert (tmp_path / "version/evaluation/metrics.json").read_text() == "c-test"


def test_a_version_has_warm_up_requests_that_every_signature_answers(exported_models):
    folder = f"{exported_models}/pneumonia/1"
    signatures = tf.saved_model.load(folder).signatures
    sizes = {}
    path = f"{folder}/assets.extra/tf_serving_warmup_requests"
    for serialized in tf.data.TFRecordDataset(path).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(serialized).predict_log.request
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        answer = signatures[request.model_spec.signature_name](**inputs)
        assert (answer["probability"].numpy() >= 0).all()
        sizes.setdefault(request.model_spec.signature_name, []).append(len(answer["probability"]))
    assert sizes == {name: [1, 8, 32] for name in ("serving_default", "gradcam", "pixels")}


def test_the_graph_needs_no_python_xla_or_gpu(models):
    saved = saved_model_pb2.SavedModel.FromString((Path(models) / "pneumonia/1/saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]

    used = {node.op for node in nodes}
    assert not {op for op in used if "PyFunc" in op or "Xla" in op}
    assert not [node.name for node in nodes if "GPU" in node.device]
    decoding = [node for node in nodes if node.op.startswith("Decode") or node.op == "EncodePng"]
    assert decoding
    compiled = [f.signature.name for f in graph.library.function if f.attr["_XlaMustCompile"].b]
    assert not compiled


def test_a_model_that_answers_differently_from_its_run_is_not_published(finished_run, tmp_path, monkeypatch):
    class Swapped(saved_model.ServedClassifier):
        def _predict_pixels(self, image):
            outputs = super()._predict_pixels(image)
            return outputs | {"probability": 1 - outputs["probability"]}

    monkeypatch.setattr(saved_model, "ServedClassifier", Swapped)

    with pytest.raises(ExportRefused, match="nothing was published"):
        export(finished_run, str(tmp_path))

    assert names(tmp_path / "pneumonia") == []


def test_a_model_whose_weights_are_not_finite_is_not_published(finished_run, tmp_path, monkeypatch):
    loaded = runs.load(finished_run)
    logit = loaded.model.get_layer("logit")
    logit.set_weights([np.full_like(weights, np.nan) for weights in logit.get_weights()])
    monkeypatch.setattr(runs, "load", lambda _: loaded)

    with pytest.raises(ExportRefused, match="weights are damaged"):
        export(finished_run, str(tmp_path))

    assert names(tmp_path / "pneumonia") == []


def test_an_unfinished_version_has_a_name_that_servers_ignore(quick_export, tmp_path, monkeypatch):
    seen = []

    def look(run, folder):
        seen.extend(names(tmp_path / "pneumonia"))

    monkeypatch.setattr(publish, "refuse_other_answers", look)

    quick_export(str(tmp_path))

    assert len(seen) == 1
    assert not seen[0].isdecimal()
    assert names(tmp_path / "pneumonia") == ["1"]


def test_an_unfinished_run_is_refused(finished_run, tmp_path):
    for name in ("config.json", "dataset.json"):
        (tmp_path / name).write_bytes((Path(finished_run) / name).read_bytes())

    with pytest.raises(UserError, match=r"no model\.keras"):
        export(str(tmp_path), str(tmp_path / "models"))

    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_an_export_that_cannot_be_written_leaves_nothing_behind(finished_run, tmp_path, monkeypatch, code):
    def fail(run, folder):
        (Path(folder) / "variables").mkdir(parents=True)
        (Path(folder) / "variables/half").write_bytes(b"half")
        raise OSError(code, os.strerror(code), folder)

    monkeypatch.setattr(saved_model, "write", fail)

    with pytest.raises(OSError, match=os.strerror(code)):
        export(finished_run, str(tmp_path))

    assert names(tmp_path / "pneumonia") == []


@pytest.mark.parametrize("in_the_way", ["models", "models/pneumonia"])
def test_a_file_where_a_folder_is_needed(finished_run, tmp_path, in_the_way):
    (tmp_path / in_the_way).parent.mkdir(exist_ok=True)
    (tmp_path / in_the_way).write_text("mine")

    with pytest.raises((UserError, OSError), match=f"{Path(in_the_way).name}'"):
        export(finished_run, str(tmp_path / "models"))

    assert (tmp_path / in_the_way).read_text() == "mine"


def test_other_files_in_the_folder_of_models_stay(quick_export, tmp_path):
    others = ["models.config", "pneumonia/unfinished-1-5/x", "other/1/saved_model.pb"]
    for path in others:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)

    quick_export(str(tmp_path))

    assert all((tmp_path / path).read_text() == path for path in others)
    assert "1" in names(tmp_path / "pneumonia")


@pytest.fixture
def run_behind_a_url(finished_run, tmp_path):
    """The finished run, copied to `ram://`, the file system of TensorFlow in the memory of this process."""
    url = f"ram://{tmp_path.name}/run"
    for path in Path(finished_run).rglob("*"):
        if path.is_file() and path.suffix in (".json", ".keras"):
            copy = f"{url}/{path.relative_to(finished_run)}"
            tf.io.gfile.makedirs(copy.rpartition("/")[0])
            tf.io.gfile.copy(str(path), copy)
    return url


def files(folder: str) -> set[str]:
    return {
        f"{parent}/{name}".removeprefix(f"{folder}/")
        for parent, _, found in tf.io.gfile.walk(folder)
        for name in found
    }


@pytest.mark.slow
def test_a_run_and_models_behind_a_url(run_behind_a_url, models, tmp_path, images):
    behind_a_url = f"ram://{tmp_path.name}/models"
    base_path = f"{behind_a_url}/pneumonia"
    tf.io.gfile.makedirs(f"{base_path}/0002")

    folder = export(run_behind_a_url, behind_a_url)

    assert folder == newest_version(behind_a_url) == f"{base_path}/3"
    assert version_folders(base_path) == {2: f"{base_path}/0002", 3: folder}
    assert set(tf.io.gfile.listdir(base_path)) == {"0002", "3"}
    assert files(folder) == files(f"{models}/pneumonia/1")
    there, here = (
        tf.saved_model.load(version).signatures["pixels"](image=tf.constant(images))
        for version in (folder, f"{models}/pneumonia/1")
    )
    np.testing.assert_allclose(there["probability"], here["probability"], atol=1e-6)


def test_a_number_that_another_export_has_taken_meanwhile_is_refused(quick_export, tmp_path, monkeypatch):
    def publish_another(run, folder):
        (tmp_path / "pneumonia/1").mkdir()

    monkeypatch.setattr(publish, "refuse_other_answers", publish_another)

    with pytest.raises(UserError, match="never replaced"):
        quick_export(str(tmp_path))

    assert names(tmp_path / "pneumonia/1") == []
    assert names(tmp_path / "pneumonia") == ["1"]
