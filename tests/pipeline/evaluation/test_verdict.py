import dataclasses
import re

import pytest

from pipeline.evaluation.intervals import Interval, proportion
from pipeline.evaluation.thresholds import AtThreshold
from pipeline.evaluation.verdict import measure

AUC = Interval(0.95, 0.92, 0.98)
RATES = AtThreshold(
    threshold=0.2,
    true_positives=97,
    false_positives=10,
    true_negatives=90,
    false_negatives=3,
    accuracy=proportion(187, 200),
    sensitivity=proportion(97, 100),
    specificity=proportion(90, 100),
    precision=proportion(97, 107),
    negative_predictive_value=proportion(90, 93),
    f1=0.94,
)
WARNED = proportion(2, 200)


def test_nothing_speaks_against_a_good_model():
    assert measure(AUC, RATES, WARNED, target_sensitivity=0.97).reasons_against_use == []


@pytest.mark.parametrize(
    ("auc", "rates", "warned", "reason"),
    [
        (Interval(0.55, 0.50, 0.60), {}, WARNED, "hardly tells PNEUMONIA from NORMAL here: AUC 0.550"),
        (Interval(0.75, 0.48, 0.95), {}, WARNED, "not shown to be better than chance"),
        (AUC, {"sensitivity": proportion(80, 100)}, WARNED, "sensitivity 0.800 .* chosen for 0.97"),
        (
            AUC,
            {"specificity": proportion(10, 100)},
            WARNED,
            "most NORMAL images PNEUMONIA: specificity 0.100",
        ),
        (AUC, {}, proportion(50, 100), "warns about 50% of the images"),
    ],
)
def test_each_reason_against_a_model_is_a_sentence(auc, rates, warned, reason):
    (sentence,) = measure(auc, dataclasses.replace(RATES, **rates), warned, 0.97).reasons_against_use
    assert re.search(reason, sentence)
