import pytest

from tfrecords_builder import Preprocessing
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.verify import VerifyConfig, main


def test_the_exit_code_and_the_lines(source, tmp_path, capsys):
    build(BuildConfig(str(source), str(tmp_path), Preprocessing(16, 0.1), val_fraction=0.2, shards=1))

    assert main(VerifyConfig(str(tmp_path))) == 0
    assert capsys.readouterr().out == f"{tmp_path}: no faults\n"
    (tmp_path / "test-00000-of-00001.tfrecord").unlink()

    assert main(VerifyConfig(str(tmp_path))) == 1
    assert capsys.readouterr().out.startswith("test-00000-of-00001.tfrecord: cannot be read")


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="Received"):
        VerifyConfig("records", workers=0)
