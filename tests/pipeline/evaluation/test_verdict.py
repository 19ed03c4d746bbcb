import dataclasses
import re

import numpy as np
import pytest

from pipeline.evaluation.intervals import Interval, proportion
from pipeline.evaluation.thresholds import AtThreshold
from pipeline.evaluation.verdict import measure


def share(hits: int, images: int) -> Interval:
    return proportion(np.arange(images) < hits, np.arange(images).astype(str))


AUC = Interval(0.95, 0.92, 0.98)
RATES = AtThreshold(
    threshold=0.2,
    true_positives=97,
    false_positives=10,
    true_negatives=90,
    false_negatives=3,
    accuracy=share(187, 200),
    sensitivity=share(97, 100),
    specificity=share(90, 100),
    precision=share(97, 107),
    negative_predictive_value=share(90, 93),
    balanced_accuracy=share(93, 100),
    f1=share(94, 100),
)
WARNED = share(2, 200)


def test_nothing_speaks_against_a_good_model():
    assert measure(AUC, RATES, WARNED, target_sensitivity=0.97).reasons_against_use == []


@pytest.mark.parametrize(
    ("auc", "rates", "warned", "reason"),
    [
        (Interval(0.55, 0.50, 0.60), {}, WARNED, "hardly tells PNEUMONIA from NORMAL here: AUC 0.550"),
        (Interval(0.75, 0.48, 0.95), {}, WARNED, "not shown to be better than chance"),
        (AUC, {"sensitivity": share(80, 100)}, WARNED, "sensitivity 0.800 .* chosen for 0.97"),
        (
            AUC,
            {"specificity": share(10, 100)},
            WARNED,
            "most NORMAL images PNEUMONIA: specificity 0.100",
        ),
        (AUC, {}, share(50, 100), "warns about 50% of the images"),
    ],
)
def test_each_reason_against_a_model_is_a_sentence(auc, rates, warned, reason):
    (sentence,) = measure(auc, dataclasses.replace(RATES, **rates), warned, 0.97).reasons_against_use
    assert re.search(reason, sentence)
