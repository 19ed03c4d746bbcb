"""One loaded version of a model, run by TensorFlow's C++ session as TensorFlow Serving runs it."""

import gc
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving.names import DEFAULT_SIGNATURE, EXTRA_ASSETS, WARMUP_FILE
from serving.server import tensors
from serving.server.batching import Batching, batched
from serving.server.status import StatusError, from_tensorflow, invalid_argument
from tfrecords_builder import storage

PREDICT_METHOD = "tensorflow/serving/predict"
TAG = "serve"
MOST_WARMUP_RECORDS = 1000

Arrays = dict[str, NDArray[Any]]


class Servable:
    """A version that answers.

    Args:
        name: of the model.
        version: its number.
        folder: of the version; a path or a URL.
        batching: how concurrent requests are batched; None: each runs by itself.

    Raises:
        Exception: whatever is wrong with the folder, the graph or its warm-up.
    """

    def __init__(self, name: str, version: int, folder: str, batching: Batching | None = None) -> None:
        self.name = name
        self.version = version
        self.signature_defs = _signature_defs(folder)
        self._lock = threading.Lock()
        self._runs: dict[tuple[str, tuple[str, ...]], Callable[..., list[Any]]] = {}
        self._batched_runs: dict[str, Callable[..., list[Any]]] = {}
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=_session_config())
        try:
            with graph.as_default():
                loaded = tf.compat.v1.saved_model.load(self._session, [TAG], folder)
                if batching is not None:
                    self._add_batching(graph, loaded.graph_def, batching)
            self._warm_up(storage.join(folder, EXTRA_ASSETS, WARMUP_FILE))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Frees the graph and its weights; no request may be running."""
        self._session.close()
        self._runs.clear()
        self._batched_runs.clear()
        del self._session
        gc.collect()  # graphs are full of cycles

    def predict_signature(self, name: str) -> meta_graph_pb2.SignatureDef | None:
        """The signature of that name, if it is one for predictions."""
        signature = self.signature_defs.get(name)
        return signature if signature is not None and signature.method_name == PREDICT_METHOD else None

    def run(self, signature_name: str, inputs: Arrays, outputs: Iterable[str] | None = None) -> Arrays:
        """Answers a request whose signature is known and whose inputs are complete.

        Args:
            signature_name: one of `signature_defs`.
            inputs: by name; their shapes are checked by the graph alone.
            outputs: the names to compute; None for all.

        Raises:
            StatusError: with TensorFlow's own status if the graph refuses the inputs.
        """
        signature = self.signature_defs[signature_name]
        _check_types(signature, inputs)
        wanted = tuple(sorted(signature.outputs if outputs is None else outputs))
        run = self._run_of(signature_name, wanted, inputs)
        try:
            values = run(*(inputs[name] for name in sorted(signature.inputs)))
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from None
        return dict(zip(wanted, values, strict=True))

    def _run_of(self, name: str, wanted: tuple[str, ...], inputs: Arrays) -> Callable[..., list[Any]]:
        signature = self.signature_defs[name]
        # As TensorFlow Serving, only whole answers are batched. A tensor that could not be joined with those
        # of other requests would fail them all: it fails by itself.
        if name in self._batched_runs and len(wanted) == len(signature.outputs) and _fits(signature, inputs):
            return self._batched_runs[name]
        with self._lock:
            if (name, wanted) not in self._runs:
                fetches = [signature.outputs[output].name for output in wanted]
                self._runs[name, wanted] = self._callable(signature, fetches)
            return self._runs[name, wanted]

    def _callable(
        self, signature: meta_graph_pb2.SignatureDef, fetches: list[str]
    ) -> Callable[..., list[Any]]:
        # As Keras does it: `Session.run` would check shapes, which in TensorFlow Serving the graph alone
        # does, and costs several times as much.
        options = config_pb2.CallableOptions(feed=_feeds(signature), fetch=fetches)
        return self._session._make_callable_from_options(options)

    def _add_batching(self, graph: tf.Graph, graph_def: Any, batching: Batching) -> None:
        for name in self.signature_defs:
            signature = self.predict_signature(name)
            if signature is None or not signature.inputs:
                continue
            placeholders = {feed: graph.get_tensor_by_name(feed) for feed in _feeds(signature)}
            fetches = [signature.outputs[output].name for output in sorted(signature.outputs)]
            twins = batched(graph_def, placeholders, fetches, batching)
            self._batched_runs[name] = self._callable(signature, [twin.name for twin in twins])

    def _warm_up(self, path: str) -> None:
        if not storage.exists(path):
            return
        for position, serialized in enumerate(tf.data.TFRecordDataset(path).as_numpy_iterator()):
            if position == MOST_WARMUP_RECORDS:
                raise invalid_argument(
                    f"Number of warmup records exceeds the maximum ({MOST_WARMUP_RECORDS}) at {path}"
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
        answer = self.run(name, tensors.read_inputs(signature, request.inputs))
        for output, values in answer.items():
            if values.dtype == np.float32 and not np.isfinite(values).all():
                raise StatusError(
                    grpc.StatusCode.DATA_LOSS, f"{output} of the warm-up of {name} is not finite"
                )


def _session_config() -> config_pb2.ConfigProto:
    config = config_pb2.ConfigProto()
    # A thread that spins until it gets work takes the core from the threads that receive requests.
    config.experimental.disable_thread_spinning = True
    return config


def _signature_defs(folder: str) -> Mapping[str, meta_graph_pb2.SignatureDef]:
    """As stored in `saved_model.pb`, which has more than `tf.saved_model.load` shows."""
    with tf.io.gfile.GFile(storage.join(folder, "saved_model.pb"), "rb") as file:
        saved = saved_model_pb2.SavedModel.FromString(file.read())
    (graph,) = (graph for graph in saved.meta_graphs if list(graph.meta_info_def.tags) == [TAG])
    return dict(graph.signature_def)


def _feeds(signature: meta_graph_pb2.SignatureDef) -> list[str]:
    return [signature.inputs[name].name for name in sorted(signature.inputs)]


def _check_types(signature: meta_graph_pb2.SignatureDef, inputs: Arrays) -> None:
    for position, name in enumerate(sorted(inputs)):
        expected, received = tf.as_dtype(signature.inputs[name].dtype), tensors.dtype_of(inputs[name])
        if received != expected:
            raise invalid_argument(
                f"Expects arg[{position}] to be {tensors.type_name(expected)} but "
                f"{tensors.type_name(received)} is provided"
            )


def _fits(signature: meta_graph_pb2.SignatureDef, inputs: Arrays) -> bool:
    """Whether the shapes are those of the signature, and one batch size."""
    sizes = set()
    for name, array in inputs.items():
        shape = tf.TensorShape(signature.inputs[name].tensor_shape)
        if not array.ndim or not shape.is_compatible_with(array.shape):
            return False
        sizes.add(array.shape[0])
    return len(sizes) == 1 and 0 not in sizes
