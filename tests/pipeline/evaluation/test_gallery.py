import dataclasses

import cv2
import numpy as np
import pytest

from pipeline.evaluation import gallery
from pipeline.evaluation.gallery import Heatmap


@pytest.fixture
def ten(make_predictions):
    return make_predictions(
        labels=[1, 1, 1, 1, 1, 1, 0, 0, 0, 1],
        probabilities=[0.9, 0.8, 0.7, 0.95, 0.6, 0.3, 0.2, 0.1, 0.55, 0.05],
    )


def test_the_surest_right_and_the_worst_wrong_predictions_are_chosen(ten):
    assert gallery.choose(ten) == {
        "missed pneumonia": [9, 5],
        "false alarm": [8],
        "pneumonia found": [3, 0, 1, 2],
        "normal": [7, 6],
    }


def test_more_mistakes_than_right_answers_are_shown(make_predictions):
    chosen = gallery.choose(make_predictions([0, 1] * 40, [0.9, 0.1] * 20 + [0.1, 0.9] * 20))

    assert {kind: len(positions) for kind, positions in chosen.items()} == {
        "missed pneumonia": 12,
        "false alarm": 12,
        "pneumonia found": 4,
        "normal": 4,
    }


def test_a_picture_has_the_image_and_its_heat_side_by_side(ten):
    predictions = dataclasses.replace(ten, warnings=("",) * 9 + ("no lungs found",))
    images = np.full((10, 16, 16, 1), 100, np.uint8)
    heat = np.zeros((16, 16), np.float32)
    heat[:8] = 1
    lungs = np.zeros((4, 4, 1), np.float32)

    shown, pictures = gallery.show(
        predictions,
        {"missed pneumonia": [9, 5]},
        images,
        {
            9: Heatmap(heat, lungs),
            5: Heatmap(np.zeros_like(heat), None),
        },
    )

    worst, second = shown["missed pneumonia"]
    assert (worst.source, worst.probability) == ("9.png", pytest.approx(0.05))
    assert (worst.warning, second.warning) == ("no lungs found", "")
    hot, cold = (
        cv2.imdecode(np.frombuffer(pictures[image.picture], np.uint8), cv2.IMREAD_COLOR)
        for image in (worst, second)
    )
    side = gallery.PICTURE_HEIGHT
    assert hot.shape == (side, 2 * side, 3)
    assert (hot[:, :side] == 100).all()
    assert (cold == 100).all()
    assert (hot[: side // 4, side:, 2] > 150).all()  # red
    assert (hot[-side // 4 :, side:] == 100).all()
