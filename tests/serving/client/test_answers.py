"""What answers hold, and how they are written, for servers of this version and of earlier ones."""

import csv
import io
import json

import numpy as np
import pytest

from serving.client.answers import Explanation, Prediction
from serving.client.output import Csv, JsonLines, Table

EARLIER = {"probability": [0.25, -1.0], "label": ["NORMAL", "INVALID"], "valid": [True, False]}
NOW = EARLIER | {
    "lung_area": [0.4, -1.0],
    "familiarity": [0.0, -1.0],
    "warning": ["unlike the training images", ""],
}


def test_an_export_of_an_earlier_version_tells_no_lung_area_familiarity_or_warning():
    first, second = Prediction.from_outputs(EARLIER)

    for answer in (first, second):
        assert (answer.lung_area, answer.familiarity, answer.warning) == (None, None, "")
    assert (first.probability, first.valid, second.valid) == (0.25, True, False)


@pytest.mark.parametrize("kind", [Prediction, Explanation])
def test_an_export_of_this_version_tells_them(kind):
    pictures = {"heatmap": np.zeros((2, 4, 4)), "overlay_bytes": [b"png", b""], "evidence": [2.5, -1]}

    first, second = kind.from_outputs(NOW | pictures)

    assert (first.lung_area, first.familiarity) == (0.4, 0.0)
    assert first.warning == "unlike the training images"
    assert (second.lung_area, second.familiarity, second.warning) == (None, None, "")
    if kind is Explanation:
        assert (first.evidence, second.evidence) == (2.5, None)


def test_an_explanation_of_an_earlier_version_tells_no_evidence():
    pictures = {"heatmap": np.zeros((2, 4, 4)), "overlay_bytes": [b"png", b""]}

    assert [answer.evidence for answer in Explanation.from_outputs(EARLIER | pictures)] == [None, None]


def test_outputs_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        Prediction.from_outputs(NOW | {"warning": ["one"]})


def test_every_form_of_output_has_the_warning(capsys):
    for make in (lambda: Table(with_overlays=False), JsonLines, Csv):
        output = make()
        for number, answer in enumerate(Prediction.from_outputs(NOW)):
            output.add(f"{number}.png", answer, None)
        output.close()
        written = capsys.readouterr().out
        assert written.count("unlike the training images") == 1
        if isinstance(output, JsonLines):
            rows = [json.loads(line) for line in written.splitlines()]
            assert [row["familiarity"] for row in rows] == [0.0, None]
        if isinstance(output, Csv):
            rows = list(csv.DictReader(io.StringIO(written)))
            assert [row["lung_area"] for row in rows] == ["0.4", ""]
