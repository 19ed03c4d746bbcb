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
from typing import Any

import keras
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
)
"""The properties for which a random number is drawn, for each image."""


@keras.saving.register_keras_serializable("chest_xray_pipeline")
class AcquisitionAugmentation(keras.layers.Layer):
    """Keras layer that augments images (batch, side, side, 1), values 0 to 255; the result is float32.

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

    def call(self, images: Any, training: bool = False) -> Any:
        """Augments a batch; in validation only if the layer was made with `in_validation`."""
        images = ops.cast(images, "float32")
        if not (training or self.in_validation):
            return images
        seeds = itertools.repeat(self.seed_generator) if training else itertools.count(self.seed)
        # One draw for all properties, because on CPUs many small ones take as long as the resampling.
        drawn = keras.random.uniform((ops.shape(images)[0], len(_PROPERTIES)), -1.0, 1.0, seed=next(seeds))
        draws = dict(zip(_PROPERTIES, ops.unstack(drawn, axis=1), strict=True))
        moved = self._resample(images / 255.0, draws)
        return ops.clip(self._change_gray_values(moved, draws, next(seeds)), 0.0, 1.0) * 255.0

    def _resample(self, images: Any, draws: dict[str, Any]) -> Any:
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


def _binomial_blur(images: Any) -> Any:
    """Blurs images (batch, side, side, 1) with the kernel (1, 2, 1) / 4 in both axes; edges are repeated."""
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4
