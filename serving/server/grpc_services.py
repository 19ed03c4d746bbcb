"""PredictionService and ModelService, with TensorFlow Serving's answers."""

import functools
import time
from collections.abc import Callable
from typing import Any

import grpc
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.names import DEFAULT_SIGNATURE
from serving.server import example_apis, tensors
from serving.server.metrics import Metrics
from serving.server.models import Models
from serving.server.servable import Servable
from serving.server.status import StatusError, invalid_argument

MESSAGE_LIMIT = 1024  # characters of an error's text, as TensorFlow Serving cuts it

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

    def __init__(self, models: Models, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics

    @_with_status
    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the protocol's name
        """Runs a signature."""
        with self._metrics.request(request.model_spec.name, "Predict", "GRPC"):
            return self._predict(request, context)

    def _predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        if not context.is_active():  # its deadline passed while it waited: nobody reads the answer
            raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        with _lent(self._models, request) as servable:
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            signature = servable.predict_signature(name)
            if signature is None:
                raise StatusError(
                    grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
                )
            inputs = tensors.read_inputs(signature, request.inputs)
            wanted = _wanted_outputs(signature, request.output_filter)
            began = time.perf_counter()
            outputs = servable.run(name, inputs, wanted)
            self._metrics.record_runtime(servable.name, "Predict", time.perf_counter() - began)
        response = predict_pb2.PredictResponse()
        _fill_spec(response.model_spec, servable, name)
        for output, values in outputs.items():
            response.outputs[output].CopyFrom(tensors.to_proto(values))
        return response

    @_with_status
    def GetModelMetadata(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Tells all signatures."""
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid_argument(f"Metadata field {field} is not supported")
        with _lent(self._models, request) as servable:
            return model_metadata(servable)

    @_with_status
    def Classify(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Refuses."""
        with _lent(self._models, request) as servable:
            raise example_apis.refuse_classify(servable, request.model_spec.signature_name)

    @_with_status
    def Regress(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Refuses."""
        with _lent(self._models, request) as servable:
            raise example_apis.refuse_regress(servable, request.model_spec.signature_name)

    @_with_status
    def MultiInference(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Refuses."""
        if not request.tasks or not request.tasks[0].HasField("model_spec"):
            raise invalid_argument("ModelSpec has no name specified.")
        with _lent(self._models, request.tasks[0]) as servable:
            raise example_apis.refuse_multi_inference(servable, request)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, models: Models) -> None:
        self._models = models

    @_with_status
    def GetModelStatus(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Tells the states of a model's versions."""
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        return model_status(self._models, spec.name, version)

    @_with_status
    def HandleReloadConfigRequest(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Replaces the models that are served."""
        self._models.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def add_services(server: grpc.Server, models: Models, metrics: Metrics) -> None:
    """Makes a gRPC server answer for the models."""
    prediction = PredictionService(models, metrics)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), server)


def model_metadata(servable: Servable) -> Any:
    """GetModelMetadataResponse of a servable."""
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    _fill_spec(response.model_spec, servable)
    response.metadata["signature_def"].Pack(signatures)
    return response


def model_status(models: Models, name: str, version: int | None) -> Any:
    """GetModelStatusResponse of a model.

    Raises:
        StatusError: NOT_FOUND.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for known in models.states(name, version):
        status = response.model_version_status.add(version=known.number, state=known.state.value)
        status.status.error_code = known.error.code.value[0] if known.error else 0
        status.status.error_message = known.error.message if known.error else ""
    return response


def _lent(models: Models, request: Any) -> Any:
    """The context of the servable that a request names."""
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise invalid_argument("ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    return models.servable(
        spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
    )


def _wanted_outputs(signature: meta_graph_pb2.SignatureDef, output_filter: Any) -> list[str]:
    wanted: list[str] = []
    for name in output_filter:
        if name not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{','.join(sorted(signature.outputs))}}}."
            )
        if name in wanted:
            raise invalid_argument(f"duplicate output tensor alias: {name}")
        wanted.append(name)
    return wanted or sorted(signature.outputs)


def _fill_spec(spec: model_pb2.ModelSpec, servable: Servable, signature_name: str = "") -> None:
    spec.name = servable.name
    spec.version.value = servable.version
    spec.signature_name = signature_name
