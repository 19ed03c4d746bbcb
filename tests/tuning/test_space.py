import keras_tuner
import pytest

from pipeline.training.settings import TrainConfig
from tfrecords_builder.preprocessing import IMAGE_SIZES
from tuning.space import SearchSpace


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
