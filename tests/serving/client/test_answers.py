"""What answers hold, and how they are written, for servers of this version and of earlier ones."""

import csv
import io
import json

import numpy as np
import pytest

from serving.client.answers import Explanation, Prediction, Reply
from serving.client.output import Csv, JsonLines, Table

EARLIER = {"probability": [0.25, -1.0], "label": ["NORMAL", "INVALID"], "valid": [True, False]}
NOW = EARLIER | {
    "lung_area": [0.4, -1.0],
    "familiarity": [0.0, -1.0],
    "warning": ["unlike the training images", ""],
    "threshold": [0.5, 0.5],
}


def test_an_export_of_an_earlier_version_tells_no_lung_area_familiarity_or_warning():
    first, second = Prediction.from_reply(Reply(EARLIER, 3))

    for answer in (first, second):
        assert (answer.lung_area, answer.familiarity, answer.warning) == (None, None, "")
        assert (answer.threshold, answer.version) == (None, 3)
    assert (first.probability, first.valid, second.valid) == (0.25, True, False)


@pytest.mark.parametrize("kind", [Prediction, Explanation])
def test_an_export_of_this_version_tells_them(kind):
    pictures = {"heatmap": np.zeros((2, 4, 4)), "overlay_bytes": [b"png", b""], "evidence": [2.5, -1]}
    pictures |= {"region": np.tile([0.1, 0.2, 0.9, 0.8], (2, 1)), "lungs": np.ones((2, 3, 3))}

    first, second = kind.from_reply(Reply(NOW | pictures, 3))

    assert (first.lung_area, first.familiarity) == (0.4, 0.0)
    assert first.warning == "unlike the training images"
    assert (second.lung_area, second.familiarity, second.warning) == (None, None, "")
    assert (first.threshold, first.version) == (0.5, 3)
    if kind is Explanation:
        assert (first.evidence, second.evidence) == (2.5, None)
        assert first.region == (0.1, 0.2, 0.9, 0.8)
        assert first.lungs.shape == (3, 3)


def test_an_explanation_of_an_earlier_version_tells_no_evidence():
    pictures = {"heatmap": np.zeros((2, 4, 4)), "overlay_bytes": [b"png", b""]}

    for answer in Explanation.from_reply(Reply(EARLIER | pictures, 3)):
        assert (answer.evidence, answer.region, answer.lungs) == (None, None, None)


def test_outputs_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        Prediction.from_reply(Reply(NOW | {"warning": ["one"]}, 3))


def test_every_form_of_output_has_the_warning(capsys):
    for make in (lambda: Table(with_overlays=False), JsonLines, Csv):
        output = make()
        for number, answer in enumerate(Prediction.from_reply(Reply(NOW, 3))):
            output.add(f"{number}.png", answer, None)
        output.close()
        written = capsys.readouterr().out
        assert written.count("unlike the training images") == 1
        if isinstance(output, JsonLines):
            rows = [json.loads(line) for line in written.splitlines()]
            assert [row["familiarity"] for row in rows] == [0.0, None]
            assert [(row["threshold"], row["version"]) for row in rows] == [(0.5, 3), (0.5, 3)]
        if isinstance(output, Csv):
            rows = list(csv.DictReader(io.StringIO(written)))
            assert [row["lung_area"] for row in rows] == ["0.4", ""]
