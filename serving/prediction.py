"""Runs a signature of a servable: what gRPC and REST have in common."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import meta_graph_pb2

from serving.servables import Servable
from serving.status import from_tensorflow, invalid_argument

DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"


def run_signature(
    servable: Servable, signature_name: str, inputs: Mapping[str, tf.Tensor]
) -> dict[str, NDArray[np.generic]]:
    """Answers a request whose signature is known and whose inputs are complete.

    Raises:
        StatusError: with TensorFlow's own status if the graph refuses the inputs.
    """
    signature = servable.signature_defs[signature_name]
    for position, (name, tensor) in enumerate(inputs.items()):
        expected = tf.as_dtype(signature.inputs[name].dtype)
        if tensor.dtype != expected:
            raise invalid_argument(
                f"Expects arg[{position}] to be {_type_name(expected)} but "
                f"{_type_name(tensor.dtype)} is provided"
            )
    try:
        outputs = servable.loaded.signatures[signature_name](**inputs)
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from None
    except (TypeError, ValueError) as error:  # a rank that the traced function does not take
        raise invalid_argument(str(error).strip().splitlines()[0]) from None
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def predict_signature(servable: Servable, name: str) -> meta_graph_pb2.SignatureDef | None:
    """The signature of that name, if it is one for predictions."""
    signature = servable.signature_defs.get(name)
    return signature if signature is not None and signature.method_name == PREDICT_METHOD else None


def _type_name(dtype: tf.DType) -> str:
    """TensorFlow's C++ code says float and double where Python says float32 and float64."""
    return {"float32": "float", "float64": "double"}.get(dtype.name, str(dtype.name))
