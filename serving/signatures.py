"""The signatures of the SavedModel: what TensorFlow Serving, and any other server of SavedModels, runs.

- `serving_default`: `image_bytes` string (batch,) to `probability` float32 (batch,), `label` string (batch,)
  and `valid` bool (batch,).
- `gradcam`: the same, and `heatmap` float32 (batch, side, side), 0 to 1, and `overlay_bytes` string (batch,),
  PNG.
- `pixels`: `image` uint8 (batch, side, side, 1), already preprocessed, to `probability` and `label`.

The graph holds no Python, custom, XLA-compiled or GPU-only operation. An image that cannot be decoded gets
`valid` false, probability -1, label INVALID, an empty heatmap and an empty overlay, and leaves its neighbours
alone. Weights that are no numbers fail every request, those of the warm-up first, so that no server lets such
a version take over.
"""

from typing import Any

import keras
import tensorflow as tf

from pipeline.explanation import GradCam, overlay
from pipeline.operating_point import OperatingPoint
from tfrecords_builder import Preprocessing
from tfrecords_builder.records import CLASS_NAMES, NORMAL, PNEUMONIA

INVALID_LABEL = "INVALID"
INVALID_PROBABILITY = -1.0  # no NaN: TensorFlow Serving would write a bare NaN into its JSON

_HOST = "/CPU:0"  # image files are decoded by CPU operations; a graph that asks a GPU for them fails to load

Outputs = dict[str, tf.Tensor]


class ServedClassifier(tf.Module):
    """The classifier with its preprocessing, its operating point and its explanation, to be saved."""

    def __init__(
        self, model: keras.Model, preprocessing: Preprocessing, operating_point: OperatingPoint
    ) -> None:
        super().__init__(name="pneumonia")
        self._model = model
        self._preprocessing = preprocessing
        self._threshold = operating_point.threshold
        self._explain = GradCam(model)
        self.variables_of_model = [variable.value for variable in model.variables]
        side = preprocessing.image_size
        encoded = tf.TensorSpec([None], tf.string, name="image_bytes")
        pixels = tf.TensorSpec([None, side, side, 1], tf.uint8, name="image")
        self.serving_default = tf.function(self._predict, input_signature=[encoded])
        self.gradcam = tf.function(self._predict_and_explain, input_signature=[encoded])
        self.pixels = tf.function(self._predict_pixels, input_signature=[pixels])

    def signatures(self) -> dict[str, Any]:
        """The functions by the names under which they are served."""
        return {
            "serving_default": self.serving_default,
            "gradcam": self.gradcam,
            "pixels": self.pixels,
        }

    def _predict(self, image_bytes: tf.Tensor) -> Outputs:
        images, valid = self._decode(image_bytes)
        return self._answer(self._probability(images), valid)

    def _predict_and_explain(self, image_bytes: tf.Tensor) -> Outputs:
        images, valid = self._decode(image_bytes)
        probability, heatmap = self._explain(images, self._threshold)
        probability = _checked(probability)
        heatmap = tf.where(valid[:, None, None], heatmap, 0.0)
        with tf.device(_HOST):
            pictures = tf.map_fn(
                tf.io.encode_png, overlay(images, heatmap), fn_output_signature=tf.TensorSpec([], tf.string)
            )
        return self._answer(probability, valid) | {
            "heatmap": heatmap,
            "overlay_bytes": tf.where(valid, pictures, ""),
        }

    def _predict_pixels(self, image: tf.Tensor) -> Outputs:
        probability = self._probability(image)
        return {"probability": probability, "label": self._label(probability)}

    def _probability(self, images: tf.Tensor) -> tf.Tensor:
        return _checked(self._model(images, training=False)[:, 0])

    def _label(self, probability: tf.Tensor) -> tf.Tensor:
        return tf.where(probability >= self._threshold, CLASS_NAMES[PNEUMONIA], CLASS_NAMES[NORMAL])

    def _answer(self, probability: tf.Tensor, valid: tf.Tensor) -> Outputs:
        return {
            "probability": tf.where(valid, probability, INVALID_PROBABILITY),
            "label": tf.where(valid, self._label(probability), INVALID_LABEL),
            "valid": valid,
        }

    def _decode(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Preprocesses a batch: uint8 (batch, side, side, 1), black where bool (batch,) is false."""
        side = self._preprocessing.image_size
        count = tf.size(image_bytes, out_type=tf.int64)

        def decode(position: tf.Tensor, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return position, self._preprocessing.apply_in_graph(encoded)

        with tf.device(_HOST):
            tf.debugging.assert_positive(count, "image_bytes must hold at least one image")
            # A dataset is the only place in a graph where an operation may fail and the rest go on. It is one
            # for the whole batch, as each instantiates its functions anew, at about the cost of an image.
            files = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
            decoded = files.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
            end = tf.data.Dataset.from_tensors((count, tf.zeros((side, side, 1), tf.uint8)))  # never empty
            whole = decoded.ignore_errors().concatenate(end).batch(count + 1)
            positions, images = whole.get_single_element()
            rows = positions[:, None]
            valid = tf.scatter_nd(rows, tf.ones_like(positions, tf.bool), [count + 1])
            images = tf.scatter_nd(rows, images, tf.stack([count + 1, side, side, 1]))
            return images[:count], valid[:count]


def _checked(probability: tf.Tensor) -> tf.Tensor:
    return tf.debugging.check_numerics(probability, "the model's weights are damaged: probability")
