"""The tensors of gRPC requests and replies: TensorProto on the wire, NumPy arrays in the server."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server.status import invalid_argument

Arrays = dict[str, NDArray[Any]]
"""The inputs or outputs of a signature, by name. Strings are arrays of Python objects, of type `bytes`."""

MAX_DIMENSIONS = 32
"""Maximum number of dimensions of an input. With more, TensorFlow would end the process: it reads strings
with older iterators of NumPy, which have this limit, and does not check that it got one."""

_TYPED_FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int64: "int64_val",
    tf.int32: "int_val",
    tf.uint8: "int_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}


def dtype_of(array: NDArray[Any]) -> tf.DType:
    """TensorFlow's type of an array."""
    return tf.string if array.dtype == object else tf.as_dtype(array.dtype)


def type_name(dtype: tf.DType) -> str:
    """The name of a type in TensorFlow's C++ code: `float` for Python's `float32`, and so on."""
    return {"float16": "half", "float32": "float", "float64": "double"}.get(dtype.name, str(dtype.name))


def read_inputs(
    signature: meta_graph_pb2.SignatureDef, protos: Mapping[str, tensor_pb2.TensorProto]
) -> Arrays:
    """The inputs of a request, by name.

    Args:
        signature: the signature that the request asks for.
        protos: the tensors of the request, by name.

    Raises:
        StatusError: INVALID_ARGUMENT if their names are not those of the signature, or one cannot be parsed.
    """
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
    return {name: _from_proto(name, protos[name]) for name in sorted(expected)}


def to_proto(array: NDArray[Any]) -> tensor_pb2.TensorProto:
    """The tensor of an output. Its values are in the typed fields, because some clients read no other."""
    dtype = dtype_of(array)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, _TYPED_FIELDS[dtype]).extend(np.ravel(array).tolist())
    return proto


def _from_proto(name: str, proto: tensor_pb2.TensorProto) -> NDArray[Any]:
    """Reads a tensor as TensorFlow's C++ code does, which accepts fewer or more values than the shape has."""
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    if proto.dtype == types_pb2.DT_STRING and shape == [len(proto.string_val)] and not proto.tensor_content:
        # Nearly all clients send their images like this, and it is read faster without TensorFlow.
        array = np.empty(shape, object)
        array[:] = list(proto.string_val)
        return array
    if len(shape) > MAX_DIMENSIONS:
        raise invalid_argument(f"tensor parsing error: {name}")
    try:
        parsed = tf.io.parse_tensor(proto.SerializeToString(), tf.as_dtype(proto.dtype)).numpy()
    except (tf.errors.OpError, TypeError, ValueError):
        raise invalid_argument(f"tensor parsing error: {name}") from None
    return np.asarray(parsed, object if proto.dtype == types_pb2.DT_STRING else None)


def _list(names: set[str]) -> str:
    return ",".join(sorted(names))
