"""One loaded version of a model, run by TensorFlow's C++ session, which TensorFlow Serving uses too."""

import gc
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving.names import DEFAULT_SIGNATURE, EXTRA_ASSETS, WARMUP_FILE
from serving.server import tensors
from serving.server.batching import Batching, batched
from serving.server.status import StatusError, from_tensorflow, invalid_argument
from serving.server.tensors import Arrays
from tfrecords_builder import storage

PREDICT_METHOD = "tensorflow/serving/predict"
TAG = "serve"
"""Tag of the graph in a SavedModel that servers run."""
MAX_WARMUP_RECORDS = 1000

Run = Callable[..., list[Any]]
"""Runs a signature: takes its inputs and returns its outputs, both in the order of their names."""


class Servable:
    """A version that can answer requests, from any number of threads at the same time.

    Args:
        name: name of the model.
        version: number of the version.
        folder: folder of the version; a path or a URL.
        batching: how requests that come at the same time are joined; None to run each by itself.

    Raises:
        Exception: if the folder, the graph or a warm-up request is damaged.
    """

    def __init__(self, name: str, version: int, folder: str, batching: Batching | None = None) -> None:
        self.name = name
        self.version = version
        self.signature_defs = _signature_defs(folder)
        self._lock = threading.Lock()  # for `_single_runs`, to which any thread adds
        self._single_runs: dict[tuple[str, tuple[str, ...]], Run] = {}
        self._batched_runs: dict[str, Run] = {}
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=_session_config())
        try:
            with graph.as_default():
                with storage.without_pattern(folder) as plain:
                    loaded = tf.compat.v1.saved_model.load(self._session, [TAG], plain)
                if batching is not None:
                    self._add_batching(graph, loaded.graph_def, batching)
            self._warm_up(storage.join(folder, EXTRA_ASSETS, WARMUP_FILE))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Frees the graph and its weights. No request may be running."""
        self._session.close()
        self._single_runs.clear()
        self._batched_runs.clear()
        del self._session
        gc.collect()  # graphs refer to themselves, so that their memory is not freed without it

    def predict_signature(self, name: str) -> meta_graph_pb2.SignatureDef | None:
        """The signature of that name; None if there is none, or if it is not one for predictions."""
        signature = self.signature_defs.get(name)
        return signature if signature is not None and signature.method_name == PREDICT_METHOD else None

    def run(self, signature_name: str, inputs: Arrays, outputs: Iterable[str] | None = None) -> Arrays:
        """Runs a signature.

        Args:
            signature_name: one of `signature_defs`.
            inputs: all inputs of the signature, by name. Only the graph checks their shapes.
            outputs: names of the outputs to compute; None for all.

        Returns:
            The outputs, by name.

        Raises:
            StatusError: INVALID_ARGUMENT if an input has a wrong type; TensorFlow's own status if the graph
                fails.
        """
        signature = self.signature_defs[signature_name]
        _check_types(signature, inputs)
        wanted = tuple(sorted(signature.outputs if outputs is None else outputs))
        run = self._run_for(signature_name, wanted, inputs)
        try:
            values = run(*(inputs[name] for name in sorted(signature.inputs)))
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from None
        return dict(zip(wanted, values, strict=True))

    def _run_for(self, name: str, wanted: tuple[str, ...], inputs: Arrays) -> Run:
        """The batched run if the request can be joined with others, else one by itself.

        As in TensorFlow Serving, a request can be joined only if it asks for all outputs. A request whose
        tensors do not fit would make the whole batch fail; it runs by itself and fails alone.
        """
        signature = self.signature_defs[name]
        is_whole = len(wanted) == len(signature.outputs)
        if name in self._batched_runs and is_whole and _can_be_joined(signature, inputs):
            return self._batched_runs[name]
        with self._lock:
            if (name, wanted) not in self._single_runs:
                fetches = [signature.outputs[output].name for output in wanted]
                self._single_runs[name, wanted] = self._new_run(signature, fetches)
            return self._single_runs[name, wanted]

    def _new_run(self, signature: meta_graph_pb2.SignatureDef, fetches: list[str]) -> Run:
        # Keras runs its graphs this way too. `Session.run` takes several times as long, and checks shapes,
        # which only the graph does in TensorFlow Serving.
        options = config_pb2.CallableOptions(feed=_feeds(signature), fetch=fetches)
        return self._session._make_callable_from_options(options)

    def _add_batching(self, graph: tf.Graph, graph_def: Any, batching: Batching) -> None:
        for name in self.signature_defs:
            signature = self.predict_signature(name)
            if signature is None or not signature.inputs:
                continue
            placeholders = {feed: graph.get_tensor_by_name(feed) for feed in _feeds(signature)}
            fetches = [signature.outputs[output].name for output in sorted(signature.outputs)]
            outputs = batched(graph_def, placeholders, fetches, batching)
            self._batched_runs[name] = self._new_run(signature, [output.name for output in outputs])

    def _warm_up(self, path: str) -> None:
        """Runs the warm-up requests of the version (docs/serving-contract.md, section 12)."""
        if not storage.exists(path):
            return
        for position, serialized in enumerate(tf.data.TFRecordDataset(path).as_numpy_iterator()):
            if position == MAX_WARMUP_RECORDS:
                raise invalid_argument(
                    f"Number of warmup records exceeds the maximum ({MAX_WARMUP_RECORDS}) at {path}"
                )
            log = prediction_log_pb2.PredictionLog.FromString(serialized)
            kind = log.WhichOneof("log_type")
            if kind != "predict_log":
                raise StatusError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
            self._answer_warm_up(log.predict_log.request)

    def _answer_warm_up(self, request: Any) -> None:
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = self.predict_signature(name)
        if signature is None:
            raise StatusError(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
            )
        outputs = self.run(name, tensors.read_inputs(signature, request.inputs))
        for output, values in outputs.items():
            if values.dtype == np.float32 and not np.isfinite(values).all():
                raise StatusError(
                    grpc.StatusCode.DATA_LOSS, f"{output} of the warm-up of {name} is not finite"
                )


def _session_config() -> config_pb2.ConfigProto:
    config = config_pb2.ConfigProto()
    # A thread that waits for work in a loop would occupy a core that the threads of requests need.
    config.experimental.disable_thread_spinning = True
    return config


def _signature_defs(folder: str) -> Mapping[str, meta_graph_pb2.SignatureDef]:
    """All signatures in `saved_model.pb`; `tf.saved_model.load` shows only some of them."""
    with tf.io.gfile.GFile(storage.join(folder, "saved_model.pb"), "rb") as file:
        saved = saved_model_pb2.SavedModel.FromString(file.read())
    graphs = [graph for graph in saved.meta_graphs if list(graph.meta_info_def.tags) == [TAG]]
    if not graphs:
        raise StatusError(
            grpc.StatusCode.NOT_FOUND, f"Could not find meta graph def matching supplied tags: {{ {TAG} }}"
        )
    return dict(graphs[0].signature_def)


def _feeds(signature: meta_graph_pb2.SignatureDef) -> list[str]:
    """The names of a signature's input tensors in the graph, in the order of the inputs' names."""
    return [signature.inputs[name].name for name in sorted(signature.inputs)]


def _check_types(signature: meta_graph_pb2.SignatureDef, inputs: Arrays) -> None:
    for position, name in enumerate(sorted(inputs)):
        expected, received = tf.as_dtype(signature.inputs[name].dtype), tensors.dtype_of(inputs[name])
        if received != expected:
            raise invalid_argument(
                f"Expects arg[{position}] to be {tensors.type_name(expected)} but "
                f"{tensors.type_name(received)} is provided"
            )


def _can_be_joined(signature: meta_graph_pb2.SignatureDef, inputs: Arrays) -> bool:
    """Whether the shapes of the inputs are those of the signature, with one batch size that is not 0."""
    batch_sizes = set()
    for name, array in inputs.items():
        shape = tf.TensorShape(signature.inputs[name].tensor_shape)
        if not array.ndim or not shape.is_compatible_with(array.shape):
            return False
        batch_sizes.add(array.shape[0])
    return len(batch_sizes) == 1 and 0 not in batch_sizes
