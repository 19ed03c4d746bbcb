import cv2
import numpy as np
import pytest

from pipeline import gradcam
from tfrecords_builder.cli.command import parse
from tfrecords_builder.decoding.formats import DICOM, FORMATS


def test_the_help_names_every_format_that_is_read(capsys):
    with pytest.raises(SystemExit):
        parse(gradcam.GradcamConfig, "python -m pipeline.gradcam", ["--help"])

    text = capsys.readouterr().out
    assert all(name in text for name in (*FORMATS, DICOM))


def test_the_command_writes_a_picture_for_each_image(finished_run, tmp_path, capsys):
    xray = np.random.default_rng(0).integers(0, 255, (90, 120), dtype=np.uint8)
    paths = [str(tmp_path / name) for name in ("one.png", "two.png")]
    for path in paths:
        cv2.imwrite(path, xray)

    gradcam.main(gradcam.GradcamConfig(finished_run, tuple(paths), output=str(tmp_path / "out")))

    pictures = [line.split("\t")[3] for line in capsys.readouterr().out.splitlines()]
    assert len(pictures) == 2
    assert all(cv2.imread(picture).shape[1] == 2 * 512 for picture in pictures)
