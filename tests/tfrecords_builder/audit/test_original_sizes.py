"""What the shape of files before they were squashed tells."""

import csv

import cv2
import numpy as np
import pytest

from tfrecords_builder.audit.__main__ import AuditConfig, audit
from tfrecords_builder.errors import UserError

SIDE = 96


@pytest.fixture(scope="module")
def squashed(tmp_path_factory):
    """Squashed discs, whose width before depends on the class, and the table of their original sizes."""
    folder = tmp_path_factory.mktemp("squashed") / "chest_xray"
    generator = np.random.default_rng(0)
    rows = []
    for label, name in enumerate(("NORMAL", "PNEUMONIA")):
        (folder / "train" / name).mkdir(parents=True)
        for number in range(60):
            aspect = (1.2 if label else 0.9) * np.exp(generator.normal(0, 0.1))
            picture = np.full((SIDE, SIDE), 40, np.uint8)
            axes = (round(24 / aspect), 24)  # a disc, squashed by the aspect ratio of its picture
            cv2.ellipse(picture, (SIDE // 2, SIDE // 2), axes, 0, 0, 360, 200, -1)
            picture = cv2.add(picture, generator.integers(0, 30, picture.shape, dtype=np.uint8))
            file = f"train/{name}/person{label * 1000 + number}_virus_1.png"
            cv2.imwrite(str(folder / file), picture)
            rows.append({"file": file, "width": round(1000 * aspect), "height": 1000})
    table = folder.parent / "sizes.csv"
    with table.open("w", newline="") as target:
        writer = csv.DictWriter(target, ("file", "width", "height"))
        writer.writeheader()
        writer.writerows(rows)
    return folder, table


def audited(squashed, tmp_path, **changes):
    return audit(AuditConfig(str(squashed[0]), output=str(tmp_path / "audit"), **changes))


def test_the_original_aspect_tells_the_class_and_the_pixels_show_it(squashed, tmp_path, capsys):
    found = audited(squashed, tmp_path, sizes=str(squashed[1])).original_shape

    assert found.images == 120
    assert found.shortcut.auc > 0.9
    assert found.shortcut.larger_in == "PNEUMONIA"
    assert found.shortcut.of_class["PNEUMONIA"].median == pytest.approx(1.2, abs=0.05)
    assert found.read_from_pixels > 0.7
    page = (tmp_path / "audit/audit.html").read_text()
    assert "original aspect ratio" in page
    assert "reads it from the" in page


def test_pixels_that_do_not_show_it_say_so(squashed, tmp_path):
    table = tmp_path / "random.csv"
    generator = np.random.default_rng(1)
    lines = squashed[1].read_text().splitlines()
    random = [f"{line.split(',')[0]},{generator.integers(800, 1400)},1000" for line in lines[1:]]
    table.write_text("\n".join([lines[0], *random]))

    found = audited(squashed, tmp_path, sizes=str(table)).original_shape

    assert found.read_from_pixels < 0.1
    assert found.shortcut.auc < 0.65


def test_images_of_one_size_are_said_to_be_squashed(squashed, tmp_path):
    def says_so(**changes) -> bool:
        return any(
            "96x96 pixels, so they were" in note for note in audited(squashed, tmp_path, **changes).notes
        )

    assert says_so()
    assert not says_so(sizes=str(squashed[1]))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("", "needs rows with the columns file, width, height"),
        ("file,width\na.png,1\n", r"Received: \['file', 'width'\]"),
        ("file,width,height\na.png,1,0\n", "row 1 of .* has no positive width and height"),
        ("file,width,height\na.png,x,2\n", "Received: 'x', '2'"),
        ("file,width,height\na.png,1,2\n", "has none of the images: expected paths as 'train/NORMAL/"),
    ],
)
def test_a_table_that_cannot_be_used(squashed, tmp_path, content, words):
    table = tmp_path / "sizes.csv"
    if content is not None:
        table.write_text(content)

    with pytest.raises(UserError, match=words):
        audited(squashed, tmp_path, sizes=str(table))
