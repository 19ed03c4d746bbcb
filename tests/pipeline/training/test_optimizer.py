import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.optimizer import FusedAdamW

SETTINGS = {"learning_rate": 0.01, "weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.9}


def optimized(kind, in_graph):
    """Every variable of an optimiser after 50 steps along random gradients, and those it optimised."""
    generator = np.random.default_rng(0)
    weights = [keras.Variable(generator.normal(size=shape).astype("float32")) for shape in [(7, 3), (3,)]]
    optimizer = kind(**SETTINGS)
    optimizer.build(weights)

    def step(gradients):
        optimizer.apply(gradients, weights)

    step = tf.function(step) if in_graph else step
    for _ in range(50):
        step([tf.constant(generator.normal(size=weight.shape), tf.float32) for weight in weights])
    return [keras.ops.convert_to_numpy(variable) for variable in [*optimizer.variables, *weights]]


@pytest.mark.parametrize("in_graph", [False, True])
def test_steps_are_those_of_keras(in_graph):
    ours, theirs = optimized(FusedAdamW, in_graph), optimized(keras.optimizers.AdamW, in_graph)

    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-5, atol=1e-6)


def test_weights_excluded_from_decay_are_not_decayed():
    decayed, kept = (keras.Variable(np.ones(2, "float32"), name=name) for name in ("kernel", "bias"))
    optimizer = FusedAdamW(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build([decayed, kept])

    optimizer.apply([tf.zeros(2), tf.zeros(2)], [decayed, kept])

    np.testing.assert_allclose(decayed, [0.95, 0.95])
    np.testing.assert_array_equal(kept, [1.0, 1.0])


def test_a_gradient_of_lower_precision_is_taken():
    weight = keras.Variable(np.ones(2, "float32"))
    optimizer = FusedAdamW(0.1, weight_decay=0.0)
    optimizer.build([weight])

    optimizer.apply([tf.constant([1.0, -1.0], tf.bfloat16)], [weight])

    np.testing.assert_allclose(weight, [0.9, 1.1], rtol=1e-5)
