"""PredictionService and ModelService, the gRPC services of TensorFlow Serving.

See docs/serving-contract.md, section 9.
"""

import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any

import grpc
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.names import DEFAULT_SIGNATURE
from serving.server import example_apis, tensors
from serving.server.metrics import Metrics
from serving.server.model_info import model_metadata, model_spec, model_status
from serving.server.models import Models
from serving.server.servable import Servable
from serving.server.status import StatusError, invalid_argument

MESSAGE_LIMIT = 1024
"""Maximum number of characters of an error's message, as in TensorFlow Serving."""

Method = Callable[[Any, Any, grpc.ServicerContext], Any]


def _with_status(method: Method) -> Method:
    """Makes a method end its call with the status of a StatusError that it raises."""

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
    """Predicts and tells signatures. Its other methods refuse, because no signature fits them."""

    def __init__(self, models: Models, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics

    @_with_status
    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - gRPC's name
        """Runs a signature."""
        with self._metrics.request(request.model_spec.name, "Predict", "GRPC"):
            return self._predict(request, context)

    def _predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        if not context.is_active():  # its deadline has passed while it waited, so nobody reads the answer
            raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        with _lend_servable(self._models, request) as servable:
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
        response = predict_pb2.PredictResponse(model_spec=model_spec(servable, name))
        for output, values in outputs.items():
            response.outputs[output].CopyFrom(tensors.to_proto(values))
        return response

    @_with_status
    def GetModelMetadata(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Tells all signatures of a version."""
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid_argument(f"Metadata field {field} is not supported")
        with _lend_servable(self._models, request) as servable:
            return model_metadata(servable)

    @_with_status
    def Classify(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Refuses to classify."""
        with _lend_servable(self._models, request) as servable:
            raise example_apis.refuse_classify(servable, request.model_spec.signature_name)

    @_with_status
    def Regress(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Refuses to regress."""
        with _lend_servable(self._models, request) as servable:
            raise example_apis.refuse_regress(servable, request.model_spec.signature_name)

    @_with_status
    def MultiInference(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802
        """Refuses to classify and regress."""
        if not request.tasks or not request.tasks[0].HasField("model_spec"):
            raise invalid_argument("ModelSpec has no name specified.")
        with _lend_servable(self._models, request.tasks[0]) as servable:
            raise example_apis.refuse_multi_inference(servable, request)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Tells the states of models, and replaces their configuration."""

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
        """Replaces the configuration of the models."""
        self._models.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def add_services(server: grpc.Server, models: Models, metrics: Metrics) -> None:
    """Makes a gRPC server answer for the models."""
    prediction = PredictionService(models, metrics)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), server)


def _lend_servable(models: Models, request: Any) -> contextlib.AbstractContextManager[Servable]:
    """Lends the version that the ModelSpec of a request names.

    Raises:
        StatusError: INVALID_ARGUMENT if there is no ModelSpec, or no name in it.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise invalid_argument("ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    return models.lend(
        spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
    )


def _wanted_outputs(signature: meta_graph_pb2.SignatureDef, output_filter: Any) -> list[str]:
    """The outputs that a request asks for; all of the signature if it names none.

    Raises:
        StatusError: INVALID_ARGUMENT for an output that the signature does not have, or that is named twice.
    """
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
