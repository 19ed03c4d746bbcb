"""What a server says about its models: the signatures of a version, and the states of all versions.

Both APIs answer with these messages, REST as JSON. See docs/serving-contract.md, section 8.
"""

from typing import Any

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from serving.server.models import Models
from serving.server.servable import Servable


def model_metadata(servable: Servable) -> Any:
    """GetModelMetadataResponse with all signatures of a version."""
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.CopyFrom(model_spec(servable))
    response.metadata["signature_def"].Pack(signatures)
    return response


def model_status(models: Models, name: str, version: int | None) -> Any:
    """GetModelStatusResponse with the states of a model's versions, the highest number first.

    Args:
        models: the models of the server.
        name: name of the model.
        version: number of the only version that is asked for; None for all.

    Raises:
        StatusError: NOT_FOUND if there is no such model or version.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for known in models.versions(name, version):
        status = response.model_version_status.add(version=known.number, state=known.state.value)
        status.status.error_code = known.error.code.value[0] if known.error else 0
        status.status.error_message = known.error.message if known.error else ""
    return response


def model_spec(servable: Servable, signature_name: str = "") -> Any:
    """ModelSpec that says which version answered a request, and with which signature."""
    spec = model_pb2.ModelSpec(name=servable.name, signature_name=signature_name)
    spec.version.value = servable.version
    return spec
