"""Times the exported functions in this process, without a server: what the hardware can do."""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from serving import names
from serving.server.servable import Servable
from tfrecords_builder import storage

_NUM_WARM_UPS = 3


def images_per_second(
    folder: str, signature: str, images: Sequence[bytes], batch_size: int, seconds: float
) -> float:
    """Calls an exported function with full batches for some time, and returns its rate.

    Args:
        folder: folder of the version; a path or a URL.
        signature: name of the signature.
        images: encoded image files, which fill the batches one after another.
        batch_size: images in a batch.
        seconds: how long the function is called.
    """
    with storage.without_pattern(folder) as plain:
        function = tf.saved_model.load(plain).signatures[signature]
    endless = itertools.cycle(images)
    num_batches = max(2, len(images) // batch_size)
    batches = [tf.constant(list(itertools.islice(endless, batch_size))) for _ in range(num_batches)]
    for batch in batches[:_NUM_WARM_UPS]:
        function(**{names.IMAGE_BYTES: batch})
    num_calls, began = 0, time.perf_counter()
    for batch in itertools.cycle(batches):
        function(**{names.IMAGE_BYTES: batch})
        num_calls += 1
        if time.perf_counter() - began >= seconds:
            break
    return num_calls * batch_size / (time.perf_counter() - began)


@dataclasses.dataclass(frozen=True)
class ExplanationCost:
    """Median times for one batch, in seconds."""

    prediction: float
    """Time of the predictions alone."""
    explanation: float
    """Time of the predictions with heatmaps and overlays, without the encoding of the overlays as PNG."""
    with_overlays: float
    """Time of the predictions with heatmaps and encoded overlays."""

    @property
    def ratio(self) -> float:
        """How many times as long as a prediction an explanation takes, without encoding its overlay."""
        return self.explanation / self.prediction


def explanation_cost(folder: str, images: Sequence[bytes], repeats: int) -> ExplanationCost:
    """Times predictions and explanations of the same batch alternately, with TensorFlow's C++ session.

    The signature `gradcam` always encodes its overlays, also if a request leaves them out. The encoding is
    therefore timed separately, with the same pictures, and subtracted in each repetition.

    Args:
        folder: folder of the version; a path or a URL.
        images: encoded image files of the batch.
        repeats: number of repetitions.
    """
    servable = Servable(names.MODEL_NAME, 1, folder)
    batch = np.empty(len(images), object)
    batch[:] = list(images)
    inputs = {names.IMAGE_BYTES: batch}
    overlays = servable.run(names.GRADCAM_SIGNATURE, inputs)[names.OVERLAY_BYTES]
    pictures = tf.stack([tf.io.decode_png(png) for png in overlays])
    times = _alternating_times(
        {
            "prediction": lambda: servable.run(names.DEFAULT_SIGNATURE, inputs),
            "with_overlays": lambda: servable.run(names.GRADCAM_SIGNATURE, inputs),
            "encoding": lambda: _encode(pictures),
        },
        repeats,
    )
    servable.close()
    return ExplanationCost(
        prediction=statistics.median(times["prediction"]),
        explanation=statistics.median(
            whole - encoding
            for whole, encoding in zip(times["with_overlays"], times["encoding"], strict=True)
        ),
        with_overlays=statistics.median(times["with_overlays"]),
    )


def _alternating_times(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call in each repetition, by the name of the call."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repetition in range(_NUM_WARM_UPS + repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if repetition >= _NUM_WARM_UPS:
                times[name].append(time.perf_counter() - began)
    return times


@tf.function(autograph=False)
def _encode(pictures: tf.Tensor) -> tf.Tensor:
    return tf.map_fn(tf.io.encode_png, pictures, fn_output_signature=tf.TensorSpec([], tf.string))
