import pytest

from pipeline.model import build_model
from pipeline.training import precision
from pipeline.training.precision import fastest, supported
from pipeline.training.settings import ModelConfig


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"float32": 1.0, "mixed_bfloat16": 0.5}, "mixed_bfloat16"),
        ({"float32": 1.0, "mixed_bfloat16": 0.95}, "float32"),
        ({"float32": 1.0, "mixed_bfloat16": 2.0}, "float32"),
        ({"float32": 1.0, "mixed_float16": 0.4, "mixed_bfloat16": 0.5}, "mixed_float16"),
    ],
)
def test_the_fastest_is_chosen_if_it_is_worth_its_coarser_numbers(monkeypatch, seconds, expected):
    monkeypatch.setattr(precision, "supported", lambda: tuple(seconds))
    monkeypatch.setattr(precision, "_step_seconds", lambda model, batch_shape: seconds[model])

    assert fastest(lambda name: name, (4, 32, 32, 1)) == expected


def test_training_steps_are_timed_in_every_supported_precision():
    built = []

    def build(name):
        built.append(name)
        return build_model(ModelConfig(filters=(2,), convolutions=1), 8, precision=name)

    assert fastest(build, (2, 8, 8, 1)) in built
    assert tuple(built) == supported()
    assert "float32" in built
