"""The signatures of an exported model, loaded with tf.saved_model.load as other programs load it."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipeline import runs
from pipeline.gradcam import gradcam
from tests.serving.damage import BAD_IMAGES


@pytest.fixture(scope="module")
def signatures(models):
    return tf.saved_model.load(f"{models}/pneumonia/1").signatures


@pytest.fixture(scope="module")
def run(finished_run):
    return runs.load(finished_run)


def test_the_signatures_are_those_of_the_contract(signatures):
    def described(outputs):
        return {name: (spec.dtype.name, spec.shape.as_list()) for name, spec in outputs.items()}

    answer = {"probability": ("float32", [None]), "label": ("string", [None])}
    numbers = ("threshold", "lung_area", "familiarity")
    valid = {"valid": ("bool", [None])} | {name: ("float32", [None]) for name in numbers}
    valid |= {"warning": ("string", [None])}
    explained = {"heatmap": ("float32", [None, 32, 32]), "evidence": ("float32", [None])}
    explained |= {"overlay_bytes": ("string", [None]), "region": ("float32", [None, 4])}
    explained |= {"lungs": ("float32", [None, 16, 16])}
    assert set(signatures) == {"serving_default", "gradcam", "pixels"}
    assert described(signatures["serving_default"].structured_outputs) == answer | valid
    assert described(signatures["gradcam"].structured_outputs) == answer | valid | explained
    assert described(signatures["pixels"].structured_outputs) == answer
    for name in ("serving_default", "gradcam"):
        assert described(signatures[name].structured_input_signature[1]) == {
            "image_bytes": ("string", [None])
        }
    pixels = signatures["pixels"].structured_input_signature[1]
    assert described(pixels) == {"image": ("uint8", [None, 32, 32, 1])}


def test_probabilities_are_those_of_the_run(signatures, run, encoded_images):
    pixels = np.stack([run.preprocessing.apply(image) for image in encoded_images])[..., None]
    expected = run.model.predict(pixels, verbose=0)[:, 0]

    of_files = signatures["serving_default"](image_bytes=tf.constant(encoded_images))
    of_pixels = signatures["pixels"](image=tf.constant(pixels))

    np.testing.assert_allclose(of_pixels["probability"], expected, atol=1e-5)
    np.testing.assert_allclose(of_files["probability"], expected, atol=0.01)
    assert of_files["valid"].numpy().all()


def test_the_label_is_decided_by_the_runs_operating_point(signatures, run, images):
    answer = signatures["pixels"](image=tf.constant(images))

    expected = np.where(
        answer["probability"].numpy() >= run.operating_point.threshold, b"PNEUMONIA", b"NORMAL"
    )
    assert answer["label"].numpy().tolist() == expected.tolist()
    assert len(set(expected)) == 2


def test_the_explanation_is_that_of_the_pipeline(signatures, run, encoded_images):
    answer = signatures["gradcam"](image_bytes=tf.constant(encoded_images[:3]))
    pixels = np.stack([run.preprocessing.apply(image) for image in encoded_images[:3]])[..., None]

    expected = gradcam(run.model, pixels, threshold=run.operating_point.threshold)

    np.testing.assert_allclose(answer["heatmap"], expected, atol=0.05)
    assert (answer["evidence"].numpy() > 0).all()
    for overlay in answer["overlay_bytes"].numpy():
        picture = cv2.imdecode(np.frombuffer(overlay, np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (32, 32, 3)


@pytest.mark.parametrize("signature", ["serving_default", "gradcam"])
@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_a_file_that_is_no_image_is_invalid_and_does_not_change_other_answers(
    signatures, encoded_images, signature, kind
):
    alone = signatures[signature](image_bytes=tf.constant(encoded_images[:2]))
    batch = [encoded_images[0], BAD_IMAGES[kind], encoded_images[1]]

    answer = signatures[signature](image_bytes=tf.constant(batch))

    assert answer["valid"].numpy().tolist() == [True, False, True]
    assert answer["label"].numpy()[1] == b"INVALID"
    assert answer["probability"].numpy()[1] == -1
    for name, values in alone.items():
        among_others, expected = answer[name].numpy()[[0, 2]], values.numpy()
        if expected.dtype == np.float32:
            np.testing.assert_allclose(among_others, expected, atol=1e-6)
        else:
            np.testing.assert_array_equal(among_others, expected)
    if signature == "gradcam":
        assert not answer["heatmap"].numpy()[1].any()
        assert answer["evidence"].numpy()[1] == -1
        assert answer["overlay_bytes"].numpy()[1] == b""


@pytest.mark.parametrize("signature", ["serving_default", "gradcam"])
def test_an_empty_batch_is_refused_with_a_reason(signatures, signature):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image_bytes must hold at least one image"):
        signatures[signature](image_bytes=tf.constant([], tf.string))
