import hashlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from pipeline import runs
from serving import export as export_module
from serving.export import ExportRefused, export
from tfrecords_builder.errors import UserError


def names(folder) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_versions_count_up(finished_run, tmp_path):
    first = export(finished_run, str(tmp_path))
    second = export(finished_run, str(tmp_path), version=7)
    third = export(finished_run, str(tmp_path))

    assert [Path(folder).name for folder in (first, second, third)] == ["1", "7", "8"]
    assert names(tmp_path / "pneumonia") == ["1", "7", "8"]


def test_a_version_is_never_replaced(finished_run, models):
    before = (Path(models) / "pneumonia/1/saved_model.pb").read_bytes()

    with pytest.raises(UserError, match="never replaced"):
        export(finished_run, models, version=1)

    assert (Path(models) / "pneumonia/1/saved_model.pb").read_bytes() == before


def test_the_version_says_which_run_it_is(finished_run, models):
    inside = Path(models) / "pneumonia/1/assets.extra/run"

    for name in ("config.json", "environment.json", "operating_point.json", "dataset.json"):
        assert (inside / name).read_bytes() == (Path(finished_run) / name).read_bytes()
    digest = hashlib.sha256((Path(finished_run) / "model.keras").read_bytes()).hexdigest()
    assert (inside / "model.keras.sha256").read_text() == f"{digest}\n"


def test_it_is_warmed_with_requests_that_every_signature_answers(models):
    folder = f"{models}/pneumonia/1"
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


def test_the_graph_needs_nothing_that_a_server_has_not(models):
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


def test_a_model_that_answers_otherwise_is_not_published(finished_run, tmp_path, monkeypatch):
    class Swapped(export_module.ServedClassifier):
        def _probability(self, images):
            return 1 - super()._probability(images)

    monkeypatch.setattr(export_module, "ServedClassifier", Swapped)

    with pytest.raises(ExportRefused, match="nothing was published"):
        export(finished_run, str(tmp_path))

    assert names(tmp_path / "pneumonia") == []


def test_a_model_whose_weights_are_no_numbers_is_not_published(finished_run, tmp_path, monkeypatch):
    loaded = runs.load(finished_run)
    logit = loaded.model.get_layer("logit")
    logit.set_weights([np.full_like(weights, np.nan) for weights in logit.get_weights()])
    monkeypatch.setattr(runs, "load", lambda _: loaded)

    with pytest.raises(ExportRefused, match="weights are damaged"):
        export(finished_run, str(tmp_path))

    assert names(tmp_path / "pneumonia") == []


def test_while_it_is_written_no_server_takes_it_for_a_version(finished_run, tmp_path, monkeypatch):
    seen = []
    check = export_module._check_answers

    def looking(loaded, folder):
        seen.extend(names(tmp_path / "pneumonia"))
        check(loaded, folder)

    monkeypatch.setattr(export_module, "_check_answers", looking)

    export(finished_run, str(tmp_path))

    assert len(seen) == 1
    assert not seen[0].isdecimal()
    assert names(tmp_path / "pneumonia") == ["1"]


def test_an_unfinished_run_is_refused(finished_run, tmp_path):
    for name in ("config.json", "dataset.json"):
        (tmp_path / name).write_bytes((Path(finished_run) / name).read_bytes())

    with pytest.raises(UserError, match=r"no model\.keras"):
        export(str(tmp_path), str(tmp_path / "models"))

    assert not (tmp_path / "models").exists()
