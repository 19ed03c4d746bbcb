import json

import cv2
import numpy as np
import pytest

from pipeline.evaluation.lesions import load_masks
from tfrecords_builder import Preprocessing
from tfrecords_builder.errors import UserError

PREPROCESSING = Preprocessing(32, 0.1)


@pytest.fixture
def folder(tmp_path):
    """An image of 200x400 pixels with one box, and one without."""
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((200, 400), np.uint8))
    (tmp_path / "lesions.json").write_text(json.dumps({"a.png": [[200, 60, 80, 40]]}))
    return tmp_path


def test_boxes_are_cropped_and_resized_as_the_images(folder):
    masks = load_masks(str(folder / "lesions.json"), ("a.png", "b.png"), PREPROCESSING)

    rows, columns = np.nonzero(masks[0])
    # 160 of the height and 320 of the width are left, from 20 and 40 on; a pixel is 5 high and 10 wide.
    assert (rows.min(), rows.max() + 1) == (8, 16)
    assert (columns.min(), columns.max() + 1) == (16, 24)
    assert masks[0].sum() == 8 * 8
    assert not masks[1].any()


@pytest.mark.parametrize(
    ("text", "sources", "message"),
    [
        ("[]", ("a.png",), "no JSON object from paths"),
        ('{"a.png": [[1, 2]]}', ("a.png",), "no JSON object from paths"),
        ("{", ("a.png",), "cannot be read"),
        ('{"a.png": [[1, 2, 3, 4]]}', ("c.png",), "no box for any of the 1 images"),
        ('{"c.png": [[1, 2, 3, 4]]}', ("c.png",), "is missing"),
    ],
)
def test_what_is_wrong_is_said(folder, text, sources, message):
    (folder / "lesions.json").write_text(text)

    with pytest.raises(UserError, match=message):
        load_masks(str(folder / "lesions.json"), sources, PREPROCESSING)
