"""PredictionService and ModelService over a folder of models, with TensorFlow Serving's answers."""

import functools
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.prediction import DEFAULT_SIGNATURE, predict_signature, run_signature
from serving.servables import Servable, Servables
from serving.status import StatusError, invalid_argument

MESSAGE_LIMIT = 1024  # characters of an error's text, as TensorFlow Serving cuts it

_TYPED_FIELDS = {
    tf.float32: "float_val",
    tf.int64: "int64_val",
    tf.int32: "int_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}
_STATES = get_model_status_pb2.ModelVersionStatus.State

Method = Callable[[Any, Any, grpc.ServicerContext], Any]


def _with_status(method: Method) -> Method:
    """Turns a StatusError into the status of the call."""

    @functools.wraps(method)
    def answer(service: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(service, request, context)
        except StatusError as error:
            message = error.message
            if len(message) > MESSAGE_LIMIT:
                message = f"{message[:MESSAGE_LIMIT]}...TRUNCATED"
            context.abort(error.code, message)

    return answer


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the others refuse, as this model has no signature for them."""

    def __init__(self, servables: Servables) -> None:
        self._servables = servables

    @_with_status
    def Predict(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802 - the name in the protocol
        """Runs a signature."""
        servable = _find(self._servables, request)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = predict_signature(servable, name)
        if signature is None:
            raise StatusError(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
            )
        inputs = _inputs(signature, request.inputs)
        wanted = _wanted_outputs(signature, request.output_filter)
        outputs = run_signature(servable, name, inputs)
        response = predict_pb2.PredictResponse(model_spec=_effective_spec(servable, name))
        for output in wanted:
            response.outputs[output].CopyFrom(to_tensor_proto(outputs[output]))
        return response

    @_with_status
    def GetModelMetadata(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Tells all signatures."""
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid_argument(f"Metadata field {field} is not supported")
        return model_metadata(_find(self._servables, request))

    @_with_status
    def Classify(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Refuses."""
        raise _no_such_signature(_find(self._servables, request), request.model_spec, "classification")

    @_with_status
    def Regress(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Refuses."""
        raise _no_such_signature(_find(self._servables, request), request.model_spec, "regression")

    @_with_status
    def MultiInference(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Refuses."""
        if not request.tasks:
            raise invalid_argument("Inference request must specify at least one task")
        task = request.tasks[0]
        raise _no_such_signature(_find(self._servables, task), task.model_spec, "classification")


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; the configuration of this server is the folder, so it is not reloaded."""

    def __init__(self, servables: Servables) -> None:
        self._servables = servables

    @_with_status
    def GetModelStatus(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Tells the states of a model's versions."""
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        return model_status(self._servables, spec.name, version)


def add_services(server: grpc.Server, servables: Servables) -> None:
    """Makes a gRPC server answer for the models."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(servables), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(servables), server)


def model_metadata(servable: Servable) -> Any:
    """GetModelMetadataResponse of a servable."""
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
    response = get_model_metadata_pb2.GetModelMetadataResponse(
        model_spec=model_pb2.ModelSpec(name=servable.name, version={"value": servable.version})
    )
    response.metadata["signature_def"].Pack(signatures)
    return response


def model_status(servables: Servables, name: str, version: int | None) -> Any:
    """GetModelStatusResponse of a model.

    Raises:
        StatusError: NOT_FOUND.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, state, error in servables.states(name, version):
        status = response.model_version_status.add(version=number, state=_STATES.Value(state))
        status.status.error_code = grpc.StatusCode.UNKNOWN.value[0] if error else 0
        status.status.error_message = error
    return response


def to_tensor_proto(array: NDArray[np.generic]) -> tensor_pb2.TensorProto:
    """A tensor in the typed fields, as TensorFlow Serving answers; some clients read no other."""
    dtype = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, _TYPED_FIELDS[dtype]).extend(np.ravel(array).tolist())
    return proto


def _find(servables: Servables, request: Any) -> Servable:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise invalid_argument("ModelSpec has no name specified.")
    if spec.WhichOneof("version_choice") == "version_label":
        raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
    return servables.find(spec.name, spec.version.value if spec.HasField("version") else None)


def _inputs(signature: meta_graph_pb2.SignatureDef, protos: Any) -> dict[str, tf.Tensor]:
    expected, sent = set(signature.inputs), set(protos)
    if len(expected) != len(sent):
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(expected)} "
            f"len({{{_list(sent)}}}) != len({{{_list(expected)}}}). "
            f"Sent extra: {{{_list(sent - expected)}}}. Missing but required: {{{_list(expected - sent)}}}."
        )
    for name in sorted(expected - sent):
        raise invalid_argument(
            f"Signature input alias: {name}(feed name: {signature.inputs[name].name}) not found in request "
            f"and no default value provided. Inputs expected to be in the request {{{_list(sent)}}}, "
            "or default input alias set: "
        )
    return {name: _tensor(name, protos[name]) for name in sorted(expected)}


def _tensor(name: str, proto: tensor_pb2.TensorProto) -> tf.Tensor:
    """Reads a TensorProto as TensorFlow's C++ does: also with fewer values than its shape says."""
    try:
        return tf.io.parse_tensor(proto.SerializeToString(), tf.as_dtype(proto.dtype))
    except (tf.errors.OpError, TypeError, ValueError):
        raise invalid_argument(f"tensor parsing error: {name}") from None


def _wanted_outputs(signature: meta_graph_pb2.SignatureDef, output_filter: Any) -> list[str]:
    wanted: list[str] = []
    for name in output_filter:
        if name not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{_list(set(signature.outputs))}}}."
            )
        if name in wanted:
            raise invalid_argument(f"duplicate output tensor alias: {name}")
        wanted.append(name)
    return wanted or sorted(signature.outputs)


def _effective_spec(servable: Servable, signature_name: str) -> Any:
    return model_pb2.ModelSpec(
        name=servable.name, version={"value": servable.version}, signature_name=signature_name
    )


def _no_such_signature(servable: Servable, spec: Any, kind: str) -> StatusError:
    name = spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signature_defs:
        return invalid_argument(f"No signature was found with the name: {name}")
    return invalid_argument(f"No {kind} inputs found in SignatureDef: {name}")


def _list(names: set[str]) -> str:
    return ",".join(sorted(names))
