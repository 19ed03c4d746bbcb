"""The signatures of the SavedModel, which TensorFlow Serving and every other server of SavedModels can run.

All take a batch of images:

- `serving_default` takes `image_bytes`, string (batch,), encoded image files. It returns `probability`,
  float32 (batch,), 0 to 1, `label`, string (batch,), NORMAL or PNEUMONIA, `threshold`, float32 (batch,), the
  probability from which the label is PNEUMONIA, and `valid`, bool (batch,). It also returns `lung_area` and
  `familiarity`, float32 (batch,), 0 to 1, and `warning`, string (batch,), empty unless no lungs were found or
  the image is unlike the training images.
- `gradcam` takes the same and returns the same, with `heatmap`, float32 (batch, side, side), 0 to 1,
  `evidence`, float32 (batch,), how strong the heatmap is, and `overlay_bytes`, string (batch,), PNG files. To
  draw the heatmap over the whole image, `region`, float32 (batch, 4), says which part of it the model saw:
  top, left, bottom and right, 0 to 1. Models with lung attention also return `lungs`, float32 (batch, height,
  width), 0 to 1.
- `pixels` takes `image`, uint8 (batch, side, side, 1), preprocessed images. It returns `probability` and
  `label`.

An image that cannot be decoded gets `valid` false, probability, lung area, familiarity and evidence -1, label
INVALID, no warning, a heatmap and lungs of zeros and an empty overlay. A model without lung attention has
lung area -1, and one that an earlier version trained has familiarity -1. The other images of the batch are
answered as if it were not there.

Every request fails if the model's weights are not finite. The requests of the warm-up fail too, so no server
lets such a version answer.

The graph holds no operation that needs Python, a library of custom operations, XLA or a GPU.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.explanation.explainer import Explainer
from pipeline.explanation.overlays import overlay
from pipeline.runs import Run
from pipeline.suitability.assessment import Assessment, Assessor
from serving import names
from tfrecords_builder.records import CLASS_NAMES, NORMAL, PNEUMONIA

_CPU = "/CPU:0"  # TensorFlow decodes images on CPUs only: a graph that asks for it on a GPU cannot be loaded

_FAST_COMPRESSION = 1
"""Level of zlib for overlays, 1 to 9. 1 is the fastest."""

Outputs = dict[str, tf.Tensor]


class ServedClassifier(tf.Module):
    """The classifier with its preprocessing, operating point and Grad-CAM, as the SavedModel holds it.

    Args:
        run: the finished run that is served.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(name=names.MODEL_NAME)
        self._model = run.model
        self._preprocessing = run.preprocessing
        self._threshold = run.operating_point.threshold
        self._assess = Assessor(run.model, run.reference, run.model.outputs[0])
        self._explain = Explainer(run.model, run.reference)
        self.variables_of_model = [variable.value for variable in run.model.variables]
        side = run.preprocessing.image_size
        self._region = tf.constant([run.preprocessing.region], tf.float32)
        encoded = tf.TensorSpec([None], tf.string, name=names.IMAGE_BYTES)
        pixels = tf.TensorSpec([None, side, side, 1], tf.uint8, name=names.IMAGE)
        self.serving_default = tf.function(self._predict, input_signature=[encoded])
        self.gradcam = tf.function(self._predict_and_explain, input_signature=[encoded])
        self.pixels = tf.function(self._predict_pixels, input_signature=[pixels])

    def signatures(self) -> dict[str, Any]:
        """The functions of the SavedModel by the names of their signatures."""
        return {
            names.DEFAULT_SIGNATURE: self.serving_default,
            names.GRADCAM_SIGNATURE: self.gradcam,
            names.PIXELS_SIGNATURE: self.pixels,
        }

    def _predict(self, image_bytes: tf.Tensor) -> Outputs:
        images, valid = self._decode(image_bytes)
        probabilities, assessment = self._assess(images)
        return self._prediction(_refuse_non_finite(probabilities[:, 0]), assessment, valid)

    def _predict_and_explain(self, image_bytes: tf.Tensor) -> Outputs:
        images, valid = self._decode(image_bytes)
        explained = self._explain(images, self._threshold)
        heatmap = tf.where(valid[:, None, None], explained.heatmap, 0.0)
        with tf.device(_CPU):
            pictures = tf.map_fn(
                lambda picture: tf.io.encode_png(picture, compression=_FAST_COMPRESSION),
                overlay(images, heatmap, explained.assessment.lungs),
                fn_output_signature=tf.TensorSpec([], tf.string),
            )
        probability = _refuse_non_finite(explained.probability)
        outputs = self._prediction(probability, explained.assessment, valid) | {
            names.HEATMAP: heatmap,
            names.EVIDENCE: tf.where(valid, explained.evidence, names.UNKNOWN),
            names.REGION: tf.tile(self._region, [tf.size(valid), 1]),
            names.OVERLAY_BYTES: tf.where(valid, pictures, ""),
        }
        lungs = explained.assessment.lungs
        if lungs is not None:
            outputs[names.LUNGS] = tf.where(valid[:, None, None], lungs[..., 0], 0.0)
        return outputs

    def _predict_pixels(self, image: tf.Tensor) -> Outputs:
        probability = _refuse_non_finite(self._model(image, training=False)[:, 0])
        return {names.PROBABILITY: probability, names.LABEL: self._label(probability)}

    def _label(self, probability: tf.Tensor) -> tf.Tensor:
        return tf.where(probability >= self._threshold, CLASS_NAMES[PNEUMONIA], CLASS_NAMES[NORMAL])

    def _prediction(self, probability: tf.Tensor, assessment: Assessment, valid: tf.Tensor) -> Outputs:
        return {
            names.PROBABILITY: tf.where(valid, probability, names.INVALID_PROBABILITY),
            names.LABEL: tf.where(valid, self._label(probability), names.INVALID_LABEL),
            names.THRESHOLD: tf.fill(tf.shape(probability), np.float32(self._threshold)),
            names.VALID: valid,
            names.LUNG_AREA: tf.where(valid, assessment.lung_area, names.UNKNOWN),
            names.FAMILIARITY: tf.where(valid, assessment.familiarity, names.UNKNOWN),
            names.WARNING: tf.where(valid, assessment.warning, ""),
        }

    def _decode(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes and preprocesses a batch of image files.

        Returns:
            The images, uint8 (batch, side, side, 1), black where they could not be decoded, and whether each
            was decoded, bool (batch,).
        """
        side = self._preprocessing.image_size
        count = tf.size(image_bytes, out_type=tf.int64)

        def decode(position: tf.Tensor, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return position, self._preprocessing.apply_in_graph(encoded)

        with tf.device(_CPU):
            tf.debugging.assert_positive(count, "image_bytes must hold at least one image")
            # Only inside a dataset may one image fail without failing the whole graph. One dataset decodes
            # the whole batch, because setting a dataset up costs about as much as decoding an image.
            files = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
            decoded = files.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
            # This last element makes sure that there is one even if no image can be decoded.
            end = tf.data.Dataset.from_tensors((count, tf.zeros((side, side, 1), tf.uint8)))
            batch = decoded.ignore_errors().concatenate(end).batch(count + 1)
            positions, images = batch.get_single_element()
            rows = positions[:, None]
            valid = tf.scatter_nd(rows, tf.ones_like(positions, tf.bool), [count + 1])
            images = tf.scatter_nd(rows, images, tf.stack([count + 1, side, side, 1]))
            return images[:count], valid[:count]


def _refuse_non_finite(probability: tf.Tensor) -> tf.Tensor:
    return tf.debugging.check_numerics(probability, "the model's weights are damaged: probability")
