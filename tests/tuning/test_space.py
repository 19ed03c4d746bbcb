import keras_tuner
import pytest

from pipeline.training.settings import ModelConfig, TrainConfig
from tfrecords_builder.preprocessing import IMAGE_SIZES
from tuning.space import SearchSpace, in_words


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            ModelConfig(filters=(16, 24, 36), convolutions=2, dense_units=(64,), dropout=0.2),
            "3 blocks of 16, 24, 36 filters, 2 convolutions each, dense layer of 64 units, dropout 0.2",
        ),
        (
            ModelConfig(filters=(8, 16, 32), convolutions=1, dense_units=(), dropout=0.0),
            "3 blocks of 8, 16, 32 filters, 1 convolution each, no dense layer, dropout 0",
        ),
    ],
)
def test_the_log_says_in_words_what_a_trial_tries(model, words):
    assert in_words(model) == words


@pytest.mark.parametrize("image_size", [IMAGE_SIZES[0], 64])
@pytest.mark.parametrize("blocks", [3, 5])
@pytest.mark.parametrize("convolutions", [1, 2])
def test_every_corner_of_the_space_is_built(blocks, convolutions, image_size):
    config = TrainConfig("records", "run")
    space = SearchSpace(config, "float32", image_size, steps_per_epoch=10, trial_epochs=2)
    choice = keras_tuner.HyperParameters()
    choice.Fixed("blocks", blocks)
    choice.Fixed("convolutions", convolutions)
    choice.Fixed("dense_units", 0)

    classifier = space.build(choice).layers[-1]

    names = [layer.name for layer in classifier.layers]
    assert sum(name.startswith("conv") for name in names) == blocks * convolutions
    assert not any(name.startswith("dense") for name in names)
