"""Runs requests that come at about the same time as one batch, with TensorFlow's own batcher in the graph.

Its parameters are those of TensorFlow Serving's `--batching_parameters_file`. Requests are joined along
dimension 0 until a batch is full or its time is up; the batch runs, and its outputs are split again.
TensorFlow Serving's batching session and the kernel of `tf.nondifferentiable_batch_function` do the same.

This module uses that kernel directly. The Python function would give each signature threads of its own, which
wake every millisecond. Here, as in TensorFlow Serving, each signature has a queue of its own, and all share
the threads.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from serving.server.config_files import read_batching_parameters
from tfrecords_builder.errors import UserError

_SCHEDULER = "batches"  # operations of a session with this name share their threads


@dataclasses.dataclass(frozen=True)
class Batching:
    """When a batch is full, and how long it waits. The defaults are TensorFlow Serving's.

    Raises:
        ValueError: for parameters that TensorFlow's batcher refuses.
    """

    max_batch_size: int = 1000
    """Maximum number of images of a batch."""
    batch_timeout_micros: int = 0
    """Microseconds that the first request of a batch waits for others."""
    max_enqueued_batches: int = 10
    """Maximum number of batches that wait to run. Further requests are refused with UNAVAILABLE."""
    num_batch_threads: int = 1
    """Number of batches that run at the same time."""
    allowed_batch_sizes: tuple[int, ...] = ()
    """Sizes to which batches are filled up with copies of an image; empty to fill up none."""
    enable_large_batch_splitting: bool = False
    """Whether the images of a request may be spread over several batches, to fill these."""
    max_execution_batch_size: int | None = None
    """Maximum number of images that run as one batch if requests may be spread over batches; max_batch_size
    then limits a request. None for max_batch_size."""

    def __post_init__(self) -> None:
        counts = (self.max_batch_size, self.max_enqueued_batches, self.num_batch_threads)
        if min(counts) < 1 or self.batch_timeout_micros < 0:
            raise ValueError(
                "max_batch_size, max_enqueued_batches and num_batch_threads must be at least 1, "
                f"batch_timeout_micros at least 0. Received: {self}"
            )
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != self.max_batch_size):
            raise ValueError(
                "allowed_batch_sizes must increase and end with max_batch_size, "
                f"{self.max_batch_size}. Received: {sizes}"
            )
        maximum = self.max_execution_batch_size
        if maximum is not None and maximum not in (sizes or range(1, self.max_batch_size + 1)):
            raise ValueError(
                "max_execution_batch_size must be one of allowed_batch_sizes or, if there are none, 1 to "
                f"max_batch_size, {self.max_batch_size}. Received: {maximum}"
            )

    @property
    def executed_sizes(self) -> tuple[int, ...]:
        """Sizes of the batches that run, in ascending order; empty for all up to max_batch_size."""
        maximum = self.max_execution_batch_size
        if maximum is None or not self.enable_large_batch_splitting:
            return self.allowed_batch_sizes
        return tuple(size for size in self.allowed_batch_sizes or range(1, maximum + 1) if size <= maximum)

    @classmethod
    def read(cls, path: str) -> "Batching":
        """Reads a file of BatchingParameters.

        Raises:
            UserError: if it cannot be read or parsed, or if TensorFlow's batcher refuses its parameters.
        """
        parameters = read_batching_parameters(path)
        given: dict[str, Any] = {
            field.name: getattr(parameters, field.name).value
            for field in dataclasses.fields(cls)
            if field.name != "allowed_batch_sizes" and parameters.HasField(field.name)
        }
        try:
            return cls(**given, allowed_batch_sizes=tuple(parameters.allowed_batch_sizes))
        except ValueError as error:
            raise UserError(f"{path!r}: {error}") from None


def batched(
    graph_def: Any, inputs: Mapping[str, tf.Tensor], fetches: Sequence[str], batching: Batching
) -> list[tf.Tensor]:
    """Adds a copy of a signature to the current graph, whose runs are joined into batches.

    Args:
        graph_def: the GraphDef from which the current graph was loaded.
        inputs: the signature's placeholders in the current graph, by the names of their tensors.
        fetches: names of the signature's output tensors, as in `add:0`.
        batching: when a batch is full, and how long it waits.

    Returns:
        The copies of `fetches`, which are computed from the same placeholders.
    """
    nodes = tf.compat.v1.graph_util.extract_sub_graph(graph_def, [name.partition(":")[0] for name in fetches])

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs.values()]

    @tf.function(input_signature=specs, autograph=False)
    def run_batch(*tensors: tf.Tensor) -> tuple[tf.Tensor, ...]:
        # The session finds variables by their names, so the copy computes with the weights of the original.
        fed = dict(zip(inputs, tensors, strict=True))
        return tuple(tf.graph_util.import_graph_def(nodes, input_map=fed, return_elements=fetches, name=""))

    function = run_batch.get_concrete_function()
    outputs: list[tf.Tensor] = tf.raw_ops.BatchFunction(
        in_tensors=list(inputs.values()),
        captured_tensors=function.captured_inputs,
        f=function,
        Tout=[output.dtype for output in function.outputs],
        num_batch_threads=batching.num_batch_threads,
        max_batch_size=batching.max_batch_size,
        batch_timeout_micros=batching.batch_timeout_micros,
        allowed_batch_sizes=list(batching.executed_sizes),
        max_enqueued_batches=batching.max_enqueued_batches,
        enable_large_batch_splitting=batching.enable_large_batch_splitting,
        shared_name=_SCHEDULER,
        batching_queue=",".join([*inputs, *fetches]),  # signatures that compute the same share a queue
    )
    return outputs
