"""All settings of a training. They need no TensorFlow, so that a command shows its help at once."""

import dataclasses
from typing import Annotated, Any, Literal

import tyro

from pipeline.decision.operating_point import DEFAULT_TARGET_SENSITIVITY
from pipeline.input.cache import Cache
from tfrecords_builder.cli.options import optional

Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]
"""A Keras dtype policy. The mixed ones compute in 16 bits and keep the weights in float32."""
PrecisionChoice = Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]
"""What the user asks for: a precision, or `auto` for the one that is measured to be the fastest."""
Attention = Literal["auto", "lungs", "none"]
"""How the last features are averaged. `auto` becomes one of the other two before a training begins."""

MAY_DIFFER = ("records", "epochs", "patience")
"""Settings that may change when a training continues: its length, and where its records are."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What the neural network is made of.

    Raises:
        ValueError: if no network can be made so.
    """

    filters: tuple[int, ...] = (16, 32, 64, 128)
    """Number of filters of each convolution, one number for each block and at least 1. Between two blocks the
    side of the image is halved."""
    convolutions: int = 2
    """Number of convolutions in each block, at least 1."""
    kernel_size: int = 3
    """Side of the convolutions in pixels; an odd number, at least 3."""
    stem_stride: Literal[1, 2] = 1
    """Stride of the first convolution in pixels. 2 halves the side of the image at once, which takes a
    quarter of the time and leaves less detail."""
    block: Literal["plain", "residual", "separable"] = "plain"
    """Kind of the blocks. `residual` adds the input of a block to its output. `separable` convolves each
    channel by itself and then mixes the channels, with far fewer weights."""
    downsampling: Literal["max", "strided", "blur"] = "max"
    """How the side is halved between blocks: by max-pooling, by a convolution of stride 2, or by max-pooling
    with a blur, so that a shifted image gives nearly the same result."""
    normalization: Literal["batch", "group", "none"] = "batch"
    """What is normalized behind each convolution: each channel over the batch, groups of channels over each
    image, or nothing."""
    activation: Literal["relu", "silu", "gelu"] = "relu"
    """Activation function behind each convolution."""
    channel_weights: Literal["none", "se", "cbam"] = "none"
    """Whether each block weighs its channels by a summary of the image: `se` is squeeze-and-excitation
    (arXiv:1709.01507), `cbam` (arXiv:1807.06521) weighs the places in the image, too."""
    pooling: Literal["average", "max", "both"] = "average"
    """What is taken of each feature over the image, or over the lungs: its average, its maximum, or both."""
    dense_units: tuple[int, ...] = (64,)
    """Number of units of each dense layer behind the blocks, one number for each layer and at least 1."""
    dropout: float = 0.3
    """Fraction of the pooled features that dropout sets to 0 in training, from 0 to below 1."""
    standardize: bool = True
    """Scale every image to zero mean and unit variance first, so that its exposure matters less."""
    attention: Attention = "auto"
    """How the features of the last block are pooled: `lungs` over the lungs, which the network learns to
    find from the lung masks of the records; `none` over the whole image; `auto` over the lungs if the
    records of train have masks."""

    def __post_init__(self) -> None:
        if not self.filters or min(self.filters) < 1:
            raise ValueError(f"filters must be positive, one per block. Received: {self.filters}")
        if self.convolutions < 1:
            raise ValueError(f"convolutions must be at least 1. Received: {self.convolutions}")
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:  # noqa: PLR2004
            raise ValueError(f"kernel_size must be odd and at least 3. Received: {self.kernel_size}")
        if self.dense_units and min(self.dense_units) < 1:
            raise ValueError(f"dense_units must be positive. Received: {self.dense_units}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1. Received: {self.dropout}")

    @property
    def smallest_image_size(self) -> int:
        """Side in pixels of the smallest images that have a pixel left after all halvings."""
        return int(self.stem_stride * 2 ** (len(self.filters) - 1))


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
    """How much the training images are changed. Each image gets random changes of its own.

    The sizes of the changes are drawn uniformly, up to the numbers given here, which are at least 0. 0 turns
    a change off.

    Raises:
        ValueError: if a largest change is negative or too large.
    """

    rotation: float = 7.0
    """Largest rotation in degrees, clockwise or counter-clockwise."""
    scale: float = 0.20
    """Largest change of the size, as a fraction of the size, below 1; width and height change alike."""
    anisotropy: float = 0.25
    """Largest change of the aspect ratio, as a fraction below 1: the width grows by it and the height
    shrinks, or the other way round."""
    shear: float = 0.08
    """Largest horizontal shear, as the tangent of its angle."""
    shift: float = 0.10
    """Largest shift to the left or right, and up or down, as a fraction of the image's side."""
    gamma: float = 0.4
    """Gray values, 0 to 1, are raised to an exponent. This is the largest natural logarithm of the exponent:
    0.4 means exponents from 0.67 to 1.49."""
    contrast: float = 0.3
    """Largest change of the contrast, as a fraction of the contrast, below 1."""
    brightness: float = 0.15
    """Largest change of the brightness, as a fraction of the full range of gray values."""
    noise: float = 0.03
    """Largest standard deviation of the added white noise, as a fraction of the full range of gray values."""
    sharpness: float = 0.7
    """Largest change of the sharpness, from 0 to 1: the share of a 3x3 binomial blur that is mixed into the
    image to soften it, or subtracted from it to sharpen it."""
    border_exchange: float = 0.5
    """Fraction of the images, from 0 to 1, whose border is replaced by that of another image of the batch, so
    that the border says nothing about the class. The border is 4 to 14 % of the image's side wide."""
    surroundings_exchange: float = 0.3
    """Fraction of the images, from 0 to 1, in which everything outside the lungs is replaced by what another
    image of the batch has there, at the same mean brightness. It needs lung masks in the records."""

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value < 0:
                raise ValueError(f"{name} must not be negative. Received: {value}")
        for name in ("sharpness", "border_exchange", "surroundings_exchange"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} must be 0 to 1. Received: {getattr(self, name)}")
        if self.scale >= 1 or self.anisotropy >= 1 or self.contrast >= 1:
            raise ValueError(
                "scale, anisotropy and contrast must be below 1. "
                f"Received: {self.scale}, {self.anisotropy}, {self.contrast}"
            )


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Trains a pneumonia classifier from scratch and writes a run folder.

    The same command continues a training that was stopped. With more --epochs it extends a training, even one
    that is finished: from then on, the learning rate is that of a training of the new number of epochs.
    --patience, --cache, --checkpoint-seconds and --mlflow may change, too. All other settings and the content
    of the records must be the same.

    Raises:
        ValueError: if a training is impossible with these settings.
    """

    records: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECORDS")]
    """Folder of the records that `python -m tfrecords_builder` wrote; a path or a URL."""
    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """Run folder, to which all that is trained, and all of a search, is written; a path or a URL."""
    epochs: int = 30
    """Maximum number of epochs, at least 1. An epoch is one pass over all training images. A larger number
    than before extends a training. A smaller one ends it earlier, but not before the epochs that are
    completed."""
    batch_size: int = 32
    """Number of images in each training step, at least 1."""
    learning_rate: float = 2e-3
    """Highest learning rate of the optimizer, AdamW; above 0. It is reached after the warm-up and then falls
    to 0 along a cosine."""
    warmup: float = 0.05
    """Length of the warm-up, in which the learning rate rises from 0, as a fraction of all training steps;
    from 0 to below 1."""
    weight_decay: float = 1e-2
    """Weight decay of AdamW: each training step reduces the weights by this fraction times the learning
    rate; at least 0."""
    ema: float = 0.99
    """The model is a moving average of the weights. Each training step keeps this fraction of the average,
    from 0 to below 1, and takes the rest from the new weights. A short training keeps less, so that the
    average covers at most about a tenth of its steps."""
    patience: int = 20
    """Number of epochs without a better validation loss after which the training stops early, at least 1.
    The loss is that of the images of `val`, which are augmented in a fixed way, because unchanged images
    hardly tell good models apart. With a larger number than before, a training that stopped early goes on."""
    model_builder: Annotated[str | None, optional("MODULE:FUNCTION")] = None
    """Function that builds a network of your own, as package.module:function, instead of the one that the
    options of the model describe. See docs/own-network.md."""
    loss: str = "binary_crossentropy"
    """Loss of the classification: `binary_crossentropy`, `binary_focal_crossentropy`, which counts hard
    images more, or a function of (labels, probabilities) of your own, as package.module:function."""
    label_smoothing: float = 0.0
    """How far the labels are moved from 0 and 1 towards one half in the loss of the training, from 0 to below
    1. It makes the model less sure of itself."""
    lung_loss: float = 0.3
    """Weight in the loss of finding the lungs (cross-entropy against the lung masks), at least 0. The
    classification has the weight 1. Without lung attention it has no effect."""
    class_weights: bool = True
    """Weight the images so that both classes contribute equally to the loss."""
    precision: PrecisionChoice = "auto"
    """Floating-point precision of the computation. `auto` means float32, unless another precision is measured
    to be at least 10 % faster on this machine."""
    checkpoint_seconds: float = 120.0
    """Seconds between two checkpoints within an epoch, at least 0; with 0, one is saved after each step. A
    training that was stopped continues from the last one. One is always saved at the end of an epoch."""
    mlflow: Annotated[str | None, optional("URI")] = None
    """Address of an MLflow tracking server. The finished run is logged there, and each trial of a search. By
    default it is the address in MLFLOW_TRACKING_URI, if that is set. Needs the extra mlflow."""
    cache: Cache = "auto"
    """Where the records are kept during the training: `ram` loads them into memory, `none` reads them from
    their files in every epoch, `auto` loads them if there is enough free memory. A training that continues
    keeps the order of the images that it began with, whatever is given here."""
    folds: int = 0
    """Number of models that are trained and averaged: 0 for a single one, or at least 2. The patients of
    `train` and `val` together are divided into this many groups (folds). Each model is trained without one
    fold and then predicts the images of that fold. On these predictions the threshold is chosen, and labels
    that may be wrong are found. K folds take about K times as long as a single model."""
    target_sensitivity: float = DEFAULT_TARGET_SENSITIVITY
    """Sensitivity (fraction of the pneumonias that are found) that the threshold must reach on `val`, or on
    the predictions of all folds; above 0 and at most 1. Of all thresholds that reach it, the one with the
    highest specificity is chosen."""
    trust_labels: bool = False
    """With --folds: also choose the threshold on images whose label seems wrong. By default they are left
    out. The thresholds with and without them are both stored."""
    seed: int = 0
    """Seed for the initial weights, the order of the data, the augmentation and dropout."""
    overwrite: bool = False
    """Delete what is in the run folder first, if there is one, and start from the beginning. A folder with
    files of another origin is refused."""
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    augmentation: AugmentationConfig = dataclasses.field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:  # noqa: C901 - one check after the other
        if min(self.epochs, self.batch_size, self.patience) < 1:
            raise ValueError(
                "epochs, batch_size and patience must be at least 1. "
                f"Received: {self.epochs}, {self.batch_size}, {self.patience}"
            )
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive. Received: {self.learning_rate}")
        for name in ("warmup", "ema", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1. Received: {getattr(self, name)}")
        for name in ("weight_decay", "lung_loss", "checkpoint_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative. Received: {getattr(self, name)}")
        if self.folds < 0 or self.folds == 1:
            raise ValueError(f"folds must be 0 or at least 2. Received: {self.folds}")
        if not 0 < self.target_sensitivity <= 1:
            raise ValueError(
                f"target_sensitivity must be above 0, at most 1. Received: {self.target_sensitivity}"
            )

    def deciding_the_result(self) -> dict[str, Any]:
        """The settings that decide the trained model, as `config.json` holds them.

        A training is continued only with the same ones, except for MAY_DIFFER. Where the run is written and
        logged, how the records are kept in memory and how often checkpoints are saved may change.
        """
        settings = dataclasses.asdict(self)
        for name in ("run", "overwrite", "cache", "checkpoint_seconds", "mlflow"):
            del settings[name]
        return settings
