"""The fused kernel against Keras's own layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.normalization import FusedBatchNormalization


def twins(policy: str) -> tuple[keras.layers.Layer, keras.layers.Layer]:
    """Keras's layer and ours, with the same random weights."""
    generator = np.random.default_rng(0)
    weights = [generator.uniform(0.5, 2, 5) for _ in range(4)]
    layers = []
    for kind in (keras.layers.BatchNormalization, FusedBatchNormalization):
        layer = kind(momentum=0.9, dtype=keras.DTypePolicy(policy))
        layer.build((None, 6, 7, 5))
        layer.set_weights(weights)
        layers.append(layer)
    return tuple(layers)


def step(layer: keras.layers.Layer, images: tf.Tensor, upstream: tf.Tensor) -> list[np.ndarray]:
    """What comes out of a training batch, the gradients, and the weights after it."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=True)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * upstream)
    weights = [variable.value for variable in layer.trainable_variables]
    gradients = tape.gradient(loss, [images, *weights])
    return [np.asarray(tf.cast(value, tf.float32)) for value in (outputs, *gradients, *layer.weights)]


@pytest.mark.parametrize(("policy", "tolerance"), [("float32", 1e-4), ("mixed_bfloat16", 0.05)])
@pytest.mark.parametrize("in_graph", [False, True])
def test_outputs_gradients_and_averages_are_those_of_keras(policy, tolerance, in_graph):
    generator = np.random.default_rng(1)
    images = tf.constant(generator.normal(3, 2, (4, 6, 7, 5)), tf.float32)
    upstream = tf.constant(generator.normal(0, 1, (4, 6, 7, 5)), tf.float32)
    images = tf.cast(images, keras.DTypePolicy(policy).compute_dtype)
    run = step if not in_graph else in_a_function

    theirs, ours = (run(layer, images, upstream) for layer in twins(policy))

    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(other, one, atol=tolerance * max(1, np.abs(one).max()))


def in_a_function(layer: keras.layers.Layer, images: tf.Tensor, upstream: tf.Tensor) -> list[np.ndarray]:
    @tf.function
    def traced(images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * upstream)
        weights = [variable.value for variable in layer.trainable_variables]
        return outputs, *tape.gradient(loss, [images, *weights])

    results = traced(images)
    return [np.asarray(tf.cast(value, tf.float32)) for value in (*results, *layer.weights)]


def test_when_not_training_it_is_keras():
    images = tf.random.stateless_normal((2, 6, 7, 5), (0, 0))
    theirs, ours = (layer(images, training=False).numpy() for layer in twins("float32"))

    np.testing.assert_array_equal(ours, theirs)


def test_weights_go_from_one_to_the_other():
    theirs, ours = twins("float32")
    ours.set_weights([weight + 1 for weight in theirs.get_weights()])
    theirs.set_weights(ours.get_weights())

    assert [w.path.rpartition("/")[2] for w in theirs.weights] == [
        w.path.rpartition("/")[2] for w in ours.weights
    ]
    np.testing.assert_array_equal(theirs.get_weights(), ours.get_weights())
