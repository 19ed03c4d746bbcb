"""The command that trains the lung finder."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tfrecords_builder.lungs.finder import SIDE, find_lungs_with

pytest.importorskip("onnx")


@pytest.mark.slow
def test_a_short_training_writes_a_network_that_opencv_runs(command, source, tmp_path):
    target = tmp_path / "finder.onnx"

    code, out, _ = command(
        "tfrecords_builder.lungs.train", source, source / "lungs", target, "--epochs", 2, "--synthetic", 20
    )

    assert code == 0
    assert [line.split("\t")[0] for line in out.splitlines()][::2] == [
        "held-out patients",
        "test",
        "synthetic",
    ]
    network = cv2.dnn.readNetFromONNX(np.frombuffer(target.read_bytes(), np.uint8))
    assert find_lungs_with(network, [np.zeros((50, 50), np.uint8)])[0].shape == (50, 50)


def test_the_onnx_file_computes_what_keras_does():
    from tfrecords_builder.lungs.network import build_network, to_onnx

    network = build_network(seed=3)
    for layer in network.layers:  # moving averages as after a training
        if layer.name.startswith("batch_normalization"):
            generator = np.random.default_rng(0)
            layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    images = np.random.default_rng(1).normal(size=(1, SIDE, SIDE, 1)).astype(np.float32)

    opencv = cv2.dnn.readNetFromONNX(np.frombuffer(to_onnx(network), np.uint8))
    opencv.setInput(images.transpose(0, 3, 1, 2))

    expected = np.asarray(network(images, training=False))[0, ..., 0]
    np.testing.assert_allclose(opencv.forward()[0, 0], expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.slow
def test_the_same_seed_trains_the_same_weights():
    from tfrecords_builder.lungs.examples import draw_examples
    from tfrecords_builder.lungs.fitting import fit
    from tfrecords_builder.lungs.settings import LungTrainConfig

    config = LungTrainConfig("", "", "", epochs=2, batch_size=4, seed=5)
    first, second = (fit(draw_examples(8, seed=0), config).get_weights() for _ in range(2))

    for weight, expected in zip(second, first, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_masks_that_fit_no_image_are_refused(command, source, tmp_path):
    (tmp_path / "masks").mkdir()

    code, _, err = command("tfrecords_builder.lungs.train", source, tmp_path / "masks", tmp_path / "x.onnx")

    assert code == 2
    assert "no train image of" in err[-1]
    assert not (tmp_path / "x.onnx").exists()


def test_a_file_of_others_is_not_overwritten(command, source, tmp_path):
    target = Path(tmp_path / "thesis.onnx")
    target.write_text("mine")

    code, _, err = command("tfrecords_builder.lungs.train", source, source / "lungs", target)

    assert code == 2
    assert "is not a lung finder of this command" in err[-1]
    assert target.read_text() == "mine"
