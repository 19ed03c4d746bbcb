import keras

from pipeline.benchmark.flops import forward_flops, training_flops
from pipeline.model import build_model
from pipeline.training.settings import ModelConfig


def test_by_hand():
    model = build_model(ModelConfig(filters=(4, 8), convolutions=1, dense_units=(5,)), image_size=32)

    convolutions = 2 * 32 * 32 * 4 * 3 * 3 * 1 + 2 * 16 * 16 * 8 * 3 * 3 * 4
    dense = 2 * 8 * 5 + 2 * 5 * 1
    assert forward_flops(model) == convolutions + dense
    assert training_flops(model) == 3 * forward_flops(model)


def test_a_model_inside_a_model_counts_too():
    inner = build_model(ModelConfig(filters=(4,)), image_size=16)
    outer = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Rescaling(1.0), inner])

    assert forward_flops(outer) == forward_flops(inner) > 0


def test_strides_and_grouped_channels():
    images = keras.Input((9, 9, 4))
    strided = keras.layers.Conv2D(6, 3, strides=2, groups=2, padding="valid")(images)

    assert forward_flops(keras.Model(images, strided)) == 2 * 4 * 4 * 3 * 3 * (4 // 2) * 6
