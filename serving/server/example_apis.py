"""How Classify, Regress and MultiInference are refused (docs/serving-contract.md, section 7).

They take records of tf.Example, and no signature here does. The order of the checks and the messages are
those of TensorFlow Serving's classifier.cc, regressor.cc and multi_inference.cc.
"""

from typing import Any

import grpc
from tensorflow.core.protobuf import meta_graph_pb2

from serving.names import DEFAULT_SIGNATURE
from serving.server.servable import Servable
from serving.server.status import StatusError, invalid_argument

CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"

_INPUT = "inputs"
_MAX_CLASSIFY_OUTPUTS = 2  # classes and scores


def refuse_classify(servable: Servable, signature_name: str) -> StatusError:
    """The error that says why a signature cannot classify."""
    return _refuse(servable, signature_name, "classification")


def refuse_regress(servable: Servable, signature_name: str) -> StatusError:
    """The error that says why a signature cannot regress."""
    return _refuse(servable, signature_name, "regression")


def refuse_multi_inference(servable: Servable, request: Any) -> StatusError:
    """The error that says why the first task of a MultiInferenceRequest cannot be done."""
    if not request.tasks:
        return invalid_argument("Input is empty.")
    first = request.tasks[0]  # further tasks never matter, because the first fails for every signature
    name = first.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signature_defs:
        return invalid_argument(f"Requested signature not found in model graph: {name}")
    if first.method_name == CLASSIFY_METHOD:
        return refuse_classify(servable, name)
    if first.method_name == REGRESS_METHOD:
        return refuse_regress(servable, name)
    return StatusError(
        grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {first.method_name}"
    )


def _refuse(servable: Servable, signature_name: str, kind: str) -> StatusError:
    name = signature_name or DEFAULT_SIGNATURE
    signature = servable.signature_defs.get(name)
    if signature is None:
        return invalid_argument(f"No signature was found with the name: {name}")
    if len(signature.inputs) != 1:
        return invalid_argument("Expected one input Tensor.")
    wrong_outputs = _wrong_outputs(signature, kind)
    if wrong_outputs is not None:
        return invalid_argument(wrong_outputs)
    if _INPUT not in signature.inputs:
        return invalid_argument(f"No {kind} inputs found in SignatureDef: {signature}")
    return StatusError(
        grpc.StatusCode.UNIMPLEMENTED, f"the local server does not run signatures of {kind}: {name}"
    )


def _wrong_outputs(signature: meta_graph_pb2.SignatureDef, kind: str) -> str | None:
    found = len(signature.outputs)
    if kind == "regression":
        return None if found == 1 else "Expected one output Tensor."
    fits = 1 <= found <= _MAX_CLASSIFY_OUTPUTS
    return None if fits else f"Expected one or two output Tensors, found {found}"
