"""The exported function without a server: what the hardware could do, and what explanations cost."""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from serving.names import MODEL_NAME
from serving.server.servable import Servable

_WARM_UPS = 3


def images_per_second(
    folder: str, signature: str, images: Sequence[bytes], batch: int, seconds: float
) -> float:
    """Calls the exported function again and again, with full batches.

    Args:
        folder: of the version.
        signature: which function.
        images: sent in turn.
        batch: images of a call.
        seconds: how long.
    """
    function = tf.saved_model.load(folder).signatures[signature]
    turns = itertools.cycle(images)
    batches = [tf.constant(list(itertools.islice(turns, batch))) for _ in range(max(2, len(images) // batch))]
    for given in batches[:_WARM_UPS]:
        function(image_bytes=given)
    calls, began = 0, time.perf_counter()
    for given in itertools.cycle(batches):
        function(image_bytes=given)
        calls += 1
        if time.perf_counter() - began >= seconds:
            break
    return calls * batch / (time.perf_counter() - began)


@dataclasses.dataclass(frozen=True)
class ExplanationCost:
    """Medians for the same batch, in seconds."""

    prediction: float
    explanation: float
    """Everything but the encoding of the overlays as PNG."""
    with_overlays: float

    @property
    def ratio(self) -> float:
        """An explanation without the encoding of its overlay, in predictions."""
        return self.explanation / self.prediction


def explanation_cost(folder: str, images: Sequence[bytes], repeats: int) -> ExplanationCost:
    """Times `serving_default` and `gradcam` in turn, in the C++ session that TensorFlow Serving uses.

    A signature is one function, whose overlays are made whether or not they are asked for. So their encoding
    is timed by itself, on the same pictures, and subtracted in each turn.
    """
    servable = Servable(MODEL_NAME, 1, folder)
    batch = np.empty(len(images), object)
    batch[:] = list(images)
    inputs = {"image_bytes": batch}
    overlays = servable.run("gradcam", inputs)["overlay_bytes"]
    pictures = tf.stack([tf.io.decode_png(png) for png in overlays])
    calls: dict[str, Callable[[], object]] = {
        "prediction": lambda: servable.run("serving_default", inputs),
        "with_overlays": lambda: servable.run("gradcam", inputs),
        "encoding": lambda: _encode(pictures),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(_WARM_UPS + repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn >= _WARM_UPS:
                times[name].append(time.perf_counter() - began)
    times["explanation"] = [
        whole - png for whole, png in zip(times["with_overlays"], times.pop("encoding"), strict=True)
    ]
    servable.close()
    return ExplanationCost(**{name: statistics.median(values) for name, values in times.items()})


@tf.function(autograph=False)
def _encode(pictures: tf.Tensor) -> tf.Tensor:
    return tf.map_fn(tf.io.encode_png, pictures, fn_output_signature=tf.TensorSpec([], tf.string))
