"""Augmentation: random changes of how an image was acquired, that is of its geometry and its exposure.

X-rays of other hospitals differ from the training images in geometry (aspect ratio, position) and in exposure
(brightness, contrast, gamma, blur, noise). A batch is augmented on the training device, in one affine
resampling and one change of the gray values, on any Keras backend.

How far each property changes is set in `pipeline/training/settings.py`. The changes by which an evaluation
measures robustness are others, written without Keras, in `pipeline/evaluation/acquisition.py`.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.training.settings import AugmentationConfig

_PROPERTIES = (
    "rotation",
    "scale",
    "anisotropy",
    "shear",
    "shift_x",
    "shift_y",
    "gamma",
    "contrast",
    "brightness",
    "noise",
    "sharpness",
    "border_exchange",
    "border_width",
    "surroundings_exchange",
)
"""The properties for which a random number is drawn, for each image."""

BORDER_WIDTHS = (0.04, 0.14)
"""Smallest and largest width of an exchanged border, as a fraction of the image's side."""


@keras.saving.register_keras_serializable("chest_xray_pipeline")
class AcquisitionAugmentation(keras.layers.Layer):
    """Keras layer that augments images (batch, side, side, 1), values 0 to 255; the result is float32.

    Lungs (batch, side, side, 1) that are given as well are moved with their images. Their values are 1 in a
    lung, -1 outside, and 0 where nobody knows.

    In training every image is changed in a new way each time. In validation images are left alone by default.
    With `in_validation` they are changed as well, always in the same way at the same place of a batch. On
    unchanged images from the hospital of the training images every model is almost perfect, and the loss
    cannot tell a better one from a worse one.

    Args:
        config: the largest change of each property.
        seed: seed for the random changes.
        in_validation: whether images are also changed when the model is not training.
    """

    def __init__(
        self, config: AugmentationConfig, seed: int = 0, *, in_validation: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.config = config
        self.seed = seed
        self.in_validation = in_validation
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, lungs: Any = None, training: bool = False) -> Any:
        """Augments a batch; in validation only if the layer was made with `in_validation`.

        Returns:
            The images, or the images and the lungs if these were given.
        """
        images = ops.cast(images, "float32")
        lungs = None if lungs is None else ops.cast(lungs, "float32")
        if training or self.in_validation:
            seeds = itertools.repeat(self.seed_generator) if training else itertools.count(self.seed)
            images, lungs = self._augment(images / 255.0, lungs, seeds)
        return images if lungs is None else (images, lungs)

    def _augment(self, images: Any, lungs: Any, seeds: Iterator[Any]) -> tuple[Any, Any]:
        # One draw for all properties, because on CPUs many small ones take as long as the resampling.
        drawn = keras.random.uniform((ops.shape(images)[0], len(_PROPERTIES)), -1.0, 1.0, seed=next(seeds))
        draws = dict(zip(_PROPERTIES, ops.unstack(drawn, axis=1), strict=True))
        if lungs is None:
            images = self._resample(images, draws)
        else:
            both = self._resample(ops.concatenate([images, lungs], axis=-1), draws)
            images, lungs = both[..., :1], both[..., 1:]
        images = self._exchange(images, lungs, draws)
        images = ops.clip(self._change_gray_values(images, draws, next(seeds)), 0.0, 1.0) * 255.0
        return images, lungs

    def _resample(self, images: Any, draws: dict[str, Any]) -> Any:
        """Moves images (batch, side, side, channels), all channels alike."""
        config, side = self.config, images.shape[1]
        transforms = affine_transforms(
            angle=math.radians(config.rotation) * draws["rotation"],
            scale=1 + config.scale * draws["scale"],
            aspect=1 + config.anisotropy * draws["anisotropy"],
            shear=config.shear * draws["shear"],
            shift_x=config.shift * side * draws["shift_x"],
            shift_y=config.shift * side * draws["shift_y"],
            side=side,
        )
        # Edges are repeated, as black corners would mark the training images.
        return ops.image.affine_transform(images, transforms, interpolation="bilinear", fill_mode="nearest")

    def _exchange(self, images: Any, lungs: Any, draws: dict[str, Any]) -> Any:
        """Replaces borders, and what is outside the lungs, by those of the next image of the batch."""

        def chosen(name: str, fraction: float) -> Any:
            return ops.reshape((draws[name] + 1) / 2 < fraction, (-1, 1, 1, 1))

        config = self.config
        if config.surroundings_exchange and lungs is not None:
            outside = ops.cast(lungs < 0, "float32")
            level = _mean_where(outside, images)
            other = ops.roll(images, 1, axis=0)
            other = other + level - _mean_where(outside, other)
            replaced = chosen("surroundings_exchange", config.surroundings_exchange) & (lungs < 0)
            images = ops.where(replaced, other, images)
        if config.border_exchange:
            smallest, largest = (width * images.shape[1] for width in BORDER_WIDTHS)
            width = (
                smallest + (largest - smallest) * ops.reshape(draws["border_width"] + 1, (-1, 1, 1, 1)) / 2
            )
            in_border = _distance_to_edge(images.shape[1]) < width
            replaced = chosen("border_exchange", config.border_exchange) & in_border
            images = ops.where(replaced, ops.roll(images, 1, axis=0), images)
        return images

    def _change_gray_values(self, images: Any, draws: dict[str, Any], noise_seed: Any) -> Any:
        config = self.config

        def uniform(name: str, largest: float) -> Any:
            return ops.reshape(largest * draws[name], (-1, 1, 1, 1))

        if config.sharpness:
            images = images + uniform("sharpness", config.sharpness) * (_binomial_blur(images) - images)
        gamma = ops.exp(uniform("gamma", config.gamma))
        contrast = 1 + uniform("contrast", config.contrast)
        brightness = uniform("brightness", config.brightness)
        power = ops.exp(gamma * ops.log(ops.clip(images, 1e-6, 1.0)))  # twice as fast as ops.power
        images = (power - 0.5) * contrast + (0.5 + brightness)
        if config.noise:
            # Uniform noise up to this amplitude has the standard deviation that was drawn.
            amplitude = math.sqrt(3) * ops.abs(uniform("noise", config.noise))
            images = images + amplitude * keras.random.uniform(ops.shape(images), -1.0, 1.0, seed=noise_seed)
        return images

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer, from which `from_config` makes an equal one."""
        return super().get_config() | {
            "config": dataclasses.asdict(self.config),
            "seed": self.seed,
            "in_validation": self.in_validation,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AcquisitionAugmentation":
        """Makes the layer from what `get_config` returned."""
        config = {key: value for key, value in config.items() if key != "dtype"}
        return cls(**config | {"config": AugmentationConfig(**config["config"])})


def affine_transforms(
    *, angle: Any, scale: Any, aspect: Any, shear: Any, shift_x: Any, shift_y: Any, side: int
) -> Any:
    """Composes rotation, scale, aspect ratio, shear and shift about the center of the image.

    All arguments but the last have the shape (batch,).

    Args:
        angle: angle of the rotation, in radians.
        scale: factor by which width and height grow.
        aspect: factor by which the width grows and the height shrinks.
        shear: shift in x for each pixel in y.
        shift_x: shift to the right, in pixels.
        shift_y: shift down, in pixels.
        side: side of the images, in pixels.

    Returns:
        float32 (batch, 8), the argument of `keras.ops.image.affine_transform`. It maps coordinates of the
        output to those of the input: x_in = a0 x + a1 y + a2, y_in = b0 x + b1 y + b2.
    """
    cosine, sine = ops.cos(angle), ops.sin(angle)
    across, down = 1 / (scale * aspect), aspect / scale
    a0, a1 = across * cosine, across * (sine + shear)
    b0, b1 = -down * sine, down * cosine
    center = (side - 1) / 2
    a2 = center - a0 * (center + shift_x) - a1 * (center + shift_y)
    b2 = center - b0 * (center + shift_x) - b1 * (center + shift_y)
    zero = ops.zeros_like(angle)
    return ops.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=-1)


def _distance_to_edge(side: int) -> Any:
    """Pixels between each pixel's center and the nearest edge: float32 (1, side, side, 1)."""
    positions = np.arange(side, dtype=np.float32) + 0.5
    to_edge = np.minimum(positions, side - positions)
    return np.minimum(to_edge[:, None], to_edge[None, :])[None, ..., None]


def _mean_where(mask: Any, images: Any) -> Any:
    """Mean of each image where the mask is 1, (batch, 1, 1, 1); 0 where the mask is 0 everywhere."""
    total = ops.sum(mask * images, axis=(1, 2), keepdims=True)
    return total / ops.maximum(ops.sum(mask, axis=(1, 2), keepdims=True), 1.0)


def _binomial_blur(images: Any) -> Any:
    """Blurs images (batch, side, side, 1) with the kernel (1, 2, 1) / 4 in both axes; edges are repeated."""
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4
