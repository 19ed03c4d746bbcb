import pytest

from pipeline.training.settings import AugmentationConfig, ModelConfig, TrainConfig


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"learning_rate": 0.0}, {"ema": 1.0}, {"target_sensitivity": 0.0}, {"warmup": 1.0}],
)
def test_impossible_trainings_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        TrainConfig("records", "run", **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"filters": ()},
        {"filters": (0,)},
        {"kernel_size": 1},
        {"convolutions": 0},
        {"dropout": 1.0},
        {"dense_units": (0,)},
    ],
)
def test_impossible_networks_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        ModelConfig(**wrong)


@pytest.mark.parametrize("wrong", [{"noise": -0.1}, {"sharpness": 1.5}, {"scale": 1.0}])
def test_impossible_augmentations_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        AugmentationConfig(**wrong)


def test_what_does_not_decide_the_result_may_change_when_a_training_continues():
    first = TrainConfig("records", "run", cache="ram", checkpoint_seconds=1)
    second = TrainConfig("records", "copy of run", cache="none", checkpoint_seconds=2, overwrite=True)

    assert first.deciding_the_result() == second.deciding_the_result()
    assert first.deciding_the_result() != TrainConfig("records", "run", seed=1).deciding_the_result()
