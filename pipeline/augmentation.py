"""Random changes of the acquisition: how the patient lay, how the film was exposed.

Test images of other hospitals differ from the training images in geometry (aspect ratio, position) and in
exposure (brightness, contrast, gamma, blur, noise). A batch is augmented on the training device, in one
affine resampling and one intensity step, with the Keras 3 API alone.
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
"""What is drawn for each image."""

NO_AUGMENTATION = AugmentationConfig(**dict.fromkeys(AugmentationConfig.__dataclass_fields__, 0.0))


@keras.saving.register_keras_serializable("chest_xray_pipeline")
class AcquisitionAugmentation(keras.layers.Layer):
    """Changes the acquisition of images (batch, side, side, 1), 0 to 255; returns float32 of that shape.

    While training, every image is changed otherwise every time. Otherwise images are left alone, or, with
    `in_validation`, the image at a given place of a batch is always changed in the same way: clean validation
    images of the training's own source saturate every metric and cannot tell a better model from a worse one.

    Args:
        config: how far each property may change.
        seed: of the changes.
        in_validation: whether images are changed when not training, too.
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
        """See the class."""
        images = ops.cast(images, "float32")
        if not (training or self.in_validation):
            return images
        seeds = itertools.repeat(self.seed_generator) if training else itertools.count(self.seed)
        # One draw for all properties: on CPUs, many small ones take as long as the resampling itself.
        drawn = keras.random.uniform((ops.shape(images)[0], len(_PROPERTIES)), -1.0, 1.0, seed=next(seeds))
        draws = dict(zip(_PROPERTIES, ops.unstack(drawn, axis=1), strict=True))
        moved = self._resample(images / 255.0, draws)
        return ops.clip(self._expose(moved, draws, next(seeds)), 0.0, 1.0) * 255.0

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
        # Black corners would be a mark of the training images alone.
        return ops.image.affine_transform(images, transforms, interpolation="bilinear", fill_mode="nearest")

    def _expose(self, images: Any, draws: dict[str, Any], noise_seed: Any) -> Any:
        config = self.config

        def uniform(name: str, reach: float) -> Any:
            return ops.reshape(reach * draws[name], (-1, 1, 1, 1))

        if config.sharpness:
            images = images + uniform("sharpness", config.sharpness) * (_binomial_blur(images) - images)
        gamma = ops.exp(uniform("gamma", config.gamma))
        contrast = 1 + uniform("contrast", config.contrast)
        brightness = uniform("brightness", config.brightness)
        bent = ops.exp(gamma * ops.log(ops.clip(images, 1e-6, 1.0)))  # a power, in half of its time
        images = (bent - 0.5) * contrast + (0.5 + brightness)
        if config.noise:
            amplitude = math.sqrt(3) * ops.abs(uniform("noise", config.noise))  # uniform: its deviation's
            images = images + amplitude * keras.random.uniform(ops.shape(images), -1.0, 1.0, seed=noise_seed)
        return images

    def get_config(self) -> dict[str, Any]:
        """The arguments to make the layer anew."""
        return super().get_config() | {
            "config": dataclasses.asdict(self.config),
            "seed": self.seed,
            "in_validation": self.in_validation,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AcquisitionAugmentation":
        """Makes the layer anew from what `get_config` returned."""
        config = {key: value for key, value in config.items() if key != "dtype"}
        return cls(**config | {"config": AugmentationConfig(**config["config"])})


def affine_transforms(
    *, angle: Any, scale: Any, aspect: Any, shear: Any, shift_x: Any, shift_y: Any, side: int
) -> Any:
    """Composes rotation, scale, aspect, shear and shift about the image's centre.

    Args:
        angle: radians, (batch,), like all that follow.
        scale: factor by which the image grows, in both axes.
        aspect: factor by which it grows in width and shrinks in height.
        shear: shift in x per pixel in y.
        shift_x: pixels to the right.
        shift_y: pixels down.
        side: of the images, in pixels.

    Returns:
        float32 (batch, 8): the map from output to input coordinates that
        `keras.ops.image.affine_transform` takes: x_in = a0 x + a1 y + a2, y_in = b0 x + b1 y + b2.
    """
    cosine, sine = ops.cos(angle), ops.sin(angle)
    across, down = 1 / (scale * aspect), aspect / scale
    a0, a1 = across * cosine, across * (sine + shear)
    b0, b1 = -down * sine, down * cosine
    centre = (side - 1) / 2
    a2 = centre - a0 * (centre + shift_x) - a1 * (centre + shift_y)
    b2 = centre - b0 * (centre + shift_x) - b1 * (centre + shift_y)
    zero = ops.zeros_like(angle)
    return ops.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=-1)


def _binomial_blur(images: Any) -> Any:
    """The separable kernel (1, 2, 1) / 4 over (batch, side, side, 1), edges replicated."""
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4
