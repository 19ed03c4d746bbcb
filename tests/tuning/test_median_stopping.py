import pytest

from tuning.median_stopping import FEWEST_TRIALS, MedianStopping, StopTrialError, is_below_median

OTHERS = [[1.0, 0.8, 0.6], [1.0, 0.7, 0.5], [1.0, 0.6, 0.4], [1.0, 0.5, 0.3], [1.0, 0.4, 0.2]]


@pytest.mark.parametrize(
    ("curve", "below"),
    [
        ([], False),  # the trial has not begun
        ([2.0], False),  # one epoch is too early
        ([0.9, 0.81], True),  # the median of the means of two epochs is 0.8
        ([0.9, 0.79], False),
        ([0.7, 2.0], False),  # its best epoch counts
        ([2.0, 2.0, 2.0, 2.0], False),  # no other was trained so long
    ],
)
def test_the_best_loss_is_compared_with_the_median_of_the_means(curve, below):
    assert is_below_median(curve, OTHERS) == below


def test_too_few_others_stop_nothing():
    assert not is_below_median([9.0, 9.0], OTHERS[: FEWEST_TRIALS - 1])


def test_a_trial_that_continues_is_compared_with_its_earlier_epochs():
    stopping = MedianStopping(OTHERS, [0.7])
    stopping.on_epoch_end(1, {"val_loss": 2.0})
    with pytest.raises(StopTrialError):
        MedianStopping(OTHERS, [2.0]).on_epoch_end(1, {"val_loss": 2.0})
