"""The search space: what a search chooses from, and the settings of the training that a choice stands for.

Each parameter is named after the setting of `pipeline.train` that it decides. The filters of a network are
decided by three: `model.blocks`, `model.first_filters` and `model.growth`. The strength of the augmentation
is decided by groups, as a factor by which all changes of the group are multiplied.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pipeline.training.settings import AugmentationConfig, ModelConfig, TrainConfig
from tfrecords_builder.errors import UserError

if TYPE_CHECKING:  # it takes seconds to load, and the command line needs this module
    import keras_tuner

Preset = Literal["small", "default", "wide"]
Value = int | float | str

TUNER_PREFIX = "tuner/"
"""Begins the names of KerasTuner's own entries in the values of a trial."""

_AUGMENTATION_GROUPS = {
    "geometry": ("rotation", "scale", "shear", "shift"),
    "aspect": ("anisotropy",),
    "intensity": ("gamma", "contrast", "brightness", "noise", "sharpness"),
}
_LARGEST_FRACTION = 0.9
"""Changes that must stay below 1 are at most this, whatever the strength."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[Value, ...]

    def register(self, choices: "keras_tuner.HyperParameters", name: str, default: Value) -> None:
        """Adds this parameter to those that KerasTuner chooses; its default need not be among the values."""
        values = self.values if default in self.values else (*self.values, default)
        ordered = not isinstance(default, str)
        choices.Choice(name, sorted(values) if ordered else list(values), default=default, ordered=ordered)


@dataclasses.dataclass(frozen=True)
class LogRange:
    """A number between two others, evenly distributed on a logarithmic scale."""

    low: float
    high: float

    def register(self, choices: "keras_tuner.HyperParameters", name: str, default: Value) -> None:
        """Adds this parameter to those that KerasTuner chooses; its default may widen the range."""
        value = float(default)
        low, high = min(self.low, value), max(self.high, value)
        choices.Float(name, low, high, sampling="log", default=value)


Parameter = Choice | LogRange

_SMALL: dict[str, Parameter] = {
    "model.blocks": Choice((3, 4, 5)),
    "model.first_filters": Choice((8, 16, 24)),
    "model.convolutions": Choice((1, 2)),
    "model.channel_weights": Choice(("none", "se")),
    "model.dropout": Choice((0.0, 0.3, 0.5)),
    "learning_rate": LogRange(5e-4, 8e-3),
}
_DEFAULT: dict[str, Parameter] = _SMALL | {
    "model.first_filters": Choice((8, 16, 24, 32)),
    "model.growth": Choice((1.5, 2.0)),
    "model.stem_stride": Choice((1, 2)),
    "model.block": Choice(("plain", "residual", "separable")),
    "model.downsampling": Choice(("max", "strided", "blur")),
    "model.activation": Choice(("relu", "silu")),
    "model.pooling": Choice(("average", "max", "both")),
    "model.dense_units": Choice((0, 32, 64, 128)),
    "weight_decay": LogRange(1e-3, 1e-1),
    "label_smoothing": Choice((0.0, 0.05)),
    "augmentation.geometry": Choice((0.7, 1.0, 1.3)),
}
_WIDE: dict[str, Parameter] = _DEFAULT | {
    "model.blocks": Choice((2, 3, 4, 5, 6)),
    "model.first_filters": Choice((8, 16, 24, 32, 48)),
    "model.convolutions": Choice((1, 2, 3)),
    "model.kernel_size": Choice((3, 5)),
    "model.normalization": Choice(("batch", "group")),
    "model.activation": Choice(("relu", "silu", "gelu")),
    "model.channel_weights": Choice(("none", "se", "cbam")),
    "lung_loss": LogRange(0.05, 1.0),
    "ema": Choice((0.95, 0.99, 0.995)),
    "batch_size": Choice((16, 32, 64)),
    "augmentation.aspect": Choice((0.6, 1.0, 1.4)),
    "augmentation.intensity": Choice((0.5, 1.0, 1.5)),
}
PRESETS: dict[Preset, dict[str, Parameter]] = {"small": _SMALL, "default": _DEFAULT, "wide": _WIDE}


def default_values(base: TrainConfig) -> dict[str, Value]:
    """The value of every parameter of the widest space in the settings that a search begins with."""
    model, filters = base.model, base.model.filters
    growth = (filters[-1] / filters[0]) ** (1 / max(1, len(filters) - 1))
    special: dict[str, Value] = {
        "model.blocks": len(filters),
        "model.first_filters": filters[0],
        "model.growth": round(growth, 3),
        "model.dense_units": model.dense_units[0] if model.dense_units else 0,
    }
    special |= {f"augmentation.{group}": 1.0 for group in _AUGMENTATION_GROUPS}
    return {name: special[name] if name in special else _setting(base, name) for name in _WIDE}


def _setting(base: TrainConfig, name: str) -> Value:
    owner = base.model if name.startswith("model.") else base
    value: Value = getattr(owner, name.removeprefix("model."))
    return value


def parse_fixed(assignments: Sequence[str]) -> dict[str, Value]:
    """Reads what `--fix` was given.

    Args:
        assignments: texts such as `model.blocks=4`.

    Returns:
        The value of each parameter that is fixed.

    Raises:
        ValueError: if a text is no assignment, names no parameter, or has a value of the wrong type.
    """
    fixed: dict[str, Value] = {}
    defaults = default_values(TrainConfig("", ""))
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in defaults:
            raise ValueError(
                f"fix must be NAME=VALUE with a NAME of {', '.join(defaults)}. Received: {assignment!r}"
            )
        kind = type(defaults[name])
        try:
            fixed[name] = kind(text)
        except ValueError:
            raise ValueError(f"{name} must be a number. Received: {text!r}") from None
    return fixed


def register(
    choices: "keras_tuner.HyperParameters", preset: Preset, base: TrainConfig, fixed: Mapping[str, Value]
) -> None:
    """Adds all parameters of a space to those that KerasTuner chooses.

    Their defaults are the settings of `base`, so that these are tried first.

    Args:
        choices: gets the parameters.
        preset: name of the space.
        base: the settings of a training without a search.
        fixed: the values of parameters that are not searched.
    """
    defaults = default_values(base)
    has_attention = base.model.attention == "lungs"
    for name, parameter in PRESETS[preset].items():
        is_without_effect = (name == "lung_loss" and not has_attention) or (
            base.model_builder is not None and name.startswith("model.")
        )
        if name not in fixed and not is_without_effect:
            parameter.register(choices, name, defaults[name])


def training_config(base: TrainConfig, values: Mapping[str, Value]) -> TrainConfig:
    """The settings of the training that the values of parameters stand for.

    Args:
        base: the settings of what is not in `values`.
        values: by the names of parameters; other names are passed over.

    Raises:
        UserError: if no training has such settings.
    """
    chosen = default_values(base) | {name: value for name, value in values.items() if name in _WIDE}
    model: dict[str, Any] = {
        name.removeprefix("model."): value for name, value in chosen.items() if name.startswith("model.")
    }
    blocks, first, growth = (model.pop(name) for name in ("blocks", "first_filters", "growth"))
    if {"model.blocks", "model.first_filters", "model.growth"} & values.keys():
        model["filters"] = tuple(round(first * growth**block) for block in range(blocks))
    units = model.pop("dense_units")
    if "model.dense_units" in values:
        model["dense_units"] = (units,) if units else ()
    others: dict[str, Any] = {name: value for name, value in chosen.items() if "." not in name}
    try:
        return dataclasses.replace(
            base,
            model=dataclasses.replace(base.model, **model),
            augmentation=_augmentation(base.augmentation, chosen),
            **others,
        )
    except ValueError as error:
        raise UserError(f"the search cannot train with these settings: {error}") from None


def _augmentation(base: AugmentationConfig, chosen: Mapping[str, Value]) -> AugmentationConfig:
    """The augmentation with every change multiplied by the strength of its group."""
    changes = {}
    for group, names in _AUGMENTATION_GROUPS.items():
        for name in names:
            changed = getattr(base, name) * float(chosen[f"augmentation.{group}"])
            changes[name] = changed if name in ("rotation", "gamma") else min(changed, _LARGEST_FRACTION)
    return dataclasses.replace(base, **changes)


def in_words(model: ModelConfig) -> str:
    """Describes a network in a line, for the log."""
    filters = ", ".join(map(str, model.filters))
    units = ", ".join(map(str, model.dense_units))
    dense = f"dense layer of {units} units" if units else "no dense layer"
    plural = "s" if model.convolutions > 1 else ""
    return (
        f"{len(model.filters)} {model.block} blocks of {filters} filters, {model.convolutions} "
        f"convolution{plural} each, {dense}, dropout {model.dropout:g}"
    )
