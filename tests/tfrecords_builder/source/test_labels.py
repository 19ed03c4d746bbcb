import pytest

from tfrecords_builder.errors import UserError
from tfrecords_builder.source.settings import TableOptions


def classes(found) -> list[int]:
    return [image.label for image in found.images]


def note(found, start: str) -> str:
    """The one line that starts so."""
    (line,) = [text for text in found.notes if text.startswith(start)]
    assert "\n" not in line
    return line


def test_it_is_said_for_every_value_what_it_became_and_how_often(read_labels):
    found = read_labels("Pneumonia", "pneumonia|Effusion", "NORMAL", "Normal", "NORMAL", "", "1", "PNEUMONIA")

    assert classes(found) == [1, 1, 0, 0, 0, 0, 1, 1]
    assert found.notes[0] == (
        "labels of column 'label' and their rows - PNEUMONIA: '1' (1), 'PNEUMONIA' (1), 'Pneumonia' (1), "
        "'pneumonia|Effusion' (1); NORMAL: 'NORMAL' (2), '' (1), 'Normal' (1)"
    )


@pytest.mark.parametrize(
    "label",
    [
        "Pneumonia/Viral/COVID-19",
        "PNEUMONIA.",
        "Pneumonia, Effusion",
        "-1.0",
        "-1",
        "PNEUMONIA;",
        "bacterial pneumonia",
    ],
)
def test_a_value_that_nearly_matches_is_named_as_doubtful(read_labels, label):
    found = read_labels(label, "PNEUMONIA", "NORMAL")

    assert classes(found) == [0, 1, 0]
    line = note(found, "became NORMAL, but may mean PNEUMONIA or nothing: ")
    assert f"nothing: {label!r} (1); say what they mean" in line
    for option in ("positive", "positive-pattern", "negative", "leave-out"):
        assert f"--table.{option}" in line


def test_what_is_listed_as_normal_is_not_doubtful(read_labels):
    found = read_labels("1", "no pneumonia", "-1", negative=("No pneumonia", "-1"))

    assert not [line for line in found.notes if line.startswith("became")]


def test_only_the_most_frequent_values_are_shown(read_labels):
    found = read_labels("1", *(f"finding {number}" for number in range(300)), *["healthy"] * 9, "x" * 500)

    line = note(found, "labels of column 'label'")
    assert "NORMAL: 'healthy' (9), 'finding 0' (1), 'finding 1' (1), " in line
    assert line.endswith(", and 292 more values (292)")
    assert len(line) < 400


def test_long_values_are_cut(read_labels):
    line = note(read_labels("1", "0" + "x" * 500), "labels")

    assert line.endswith(f"NORMAL: '0{'x' * 59}...' (1)")


def test_a_pattern_finds_what_means_pneumonia(read_labels):
    labels = ("Pneumonia/Viral", "PNEUMONIA.", "Effusion, pneumonia", "no finding", "1", "")

    found = read_labels(*labels, positive_pattern=r"(?<!no )pneumonia")

    assert classes(found) == [1, 1, 1, 0, 0, 0]


def test_values_of_both_classes_can_be_listed_and_others_are_refused(read_labels):
    options = {"positive": ("Virus", "Bacteria"), "negative": ("healthy", "")}

    assert classes(read_labels("virus", "Healthy", "", "bacteria", **options)) == [1, 0, 0, 1]
    with pytest.raises(UserError, match=r"2 values are neither .*: 'viral' \(2\), '-1' \(1\); name them"):
        read_labels("virus", "healthy", "viral", "viral", "-1", **options)


def test_images_with_uncertain_and_empty_labels_can_be_left_out(read_labels):
    labels = ("1.0", "0.0", "-1.0", "", "1.0")

    found = read_labels(*labels, leave_out=("-1", ""))

    assert [(image.source, image.label) for image in found.images] == [
        ("0.png", 1),
        ("1.png", 0),
        ("4.png", 1),
    ]
    assert found.notes[0].endswith("; left out: '' (1), '-1.0' (1)")
    assert classes(read_labels(*labels)) == [1, 0, 0, 0, 1]
    assert classes(read_labels(*labels, positive=("1", "-1"))) == [1, 0, 1, 0, 1]
    with pytest.raises(UserError, match="the labels of all rows are left out"):
        read_labels("-1", "", leave_out=("-1.0", ""))


@pytest.mark.parametrize(
    "options",
    [
        {"positive": ("1",), "negative": ("1.0",)},
        {"positive": ("1",), "leave_out": ("1",)},
        {"negative": ("",), "leave_out": ("",)},
    ],
)
def test_one_value_cannot_have_two_meanings(read_labels, options):
    with pytest.raises(UserError, match="cannot have two meanings"):
        read_labels("1", "0", **options)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"positive_pattern": "(pneumonia"}, "regular expression"),
        ({"positive_pattern": "a", "positive": ("2",)}, "cannot be used together"),
        ({"path": ""}, "must not be empty"),
        ({"label": ""}, "must not be empty"),
        ({"positive": ()}, "positive must have values"),
        ({"positive": (" ",)}, "positive must have values"),
    ],
)
def test_impossible_options_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        TableOptions(**wrong)
