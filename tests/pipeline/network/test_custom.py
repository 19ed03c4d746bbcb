"""The network of docs/own-network.md goes the whole way, and a network that lacks something is refused."""

import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline import runs
from pipeline.evaluation.evaluate import evaluate
from pipeline.explanation.explainer import Explainer
from pipeline.network import custom
from pipeline.training.fit import train
from serving.export import export
from tests.small_run import quick_training
from tfrecords_builder.errors import UserError

DOCUMENT = Path(__file__).parents[3] / "docs/own-network.md"


@pytest.fixture
def my_network(tmp_path, monkeypatch) -> str:
    """The module of the documentation, where Python finds it; its name."""
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]
    (tmp_path / "my_network.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "my_network"
    sys.modules.pop("my_network", None)


def test_the_documented_network_is_trained_evaluated_explained_and_exported(
    my_network, records, tmp_path, images, monkeypatch
):
    run = str(tmp_path / "run")
    config = quick_training(
        records, run, model_builder=f"{my_network}:build", loss=f"{my_network}:focal_loss", epochs=2
    )

    train(config)

    sys.modules.pop("my_network")
    for name in list(keras.saving.get_custom_objects()):  # as in another process
        monkeypatch.delitem(keras.saving.get_custom_objects(), name)
    loaded = runs.load(run)
    assert "SqueezeExcitation" in {type(layer).__name__ for layer in loaded.model.layers}
    explained = Explainer(loaded.model, loaded.reference)(images, 0.5)
    np.testing.assert_allclose(
        explained.probability, loaded.model.predict(images, verbose=0)[:, 0], atol=1e-5
    )
    assert 0 <= evaluate(run, records).metrics["over_thresholds"]["auc"]["value"] <= 1
    assert export(run, str(tmp_path / "models")).endswith("/pneumonia/1")


def network(image_size, *, features="features", logit="logit", activation="sigmoid", units=1):
    images = keras.Input((image_size, image_size, 1))
    x = keras.layers.Conv2D(2, 3, name=features)(images)
    x = keras.layers.Dense(units, name=logit)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, keras.layers.Activation(activation)(x))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"features": "convolved"}, "no layer named 'features'"),
        ({"logit": "dense"}, "no layer named 'logit'"),
        ({"activation": "tanh"}, "must be the sigmoid of the layer 'logit'"),
        ({"units": 2}, r"received \(None, 8, 8, 1\) and \(None, 2\)"),
    ],
)
def test_what_a_network_lacks_is_said(monkeypatch, changed, words):
    monkeypatch.setattr(custom, "load_function", lambda _: lambda size, **_kwargs: network(size, **changed))
    with pytest.raises(UserError, match=words):
        custom.build("a:b", 8, "float32", 0)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("no_such_module:build", "cannot be imported"),
        ("math:build", "cannot be imported"),
        ("math", "give package.module:function"),
        ("math:pi", "is no function, but a float"),
    ],
)
def test_what_cannot_be_imported_is_named(reference, words):
    with pytest.raises(UserError, match=words):
        custom.build(reference, 8, "float32", 0)


def test_a_function_that_fails_is_named():
    with pytest.raises(UserError, match="'math:sqrt' failed: TypeError"):
        custom.build("math:sqrt", 8, "float32", 0)
