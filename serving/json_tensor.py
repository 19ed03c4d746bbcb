"""TensorFlow Serving's JSON of tensors: what a REST predict request holds and what its reply says."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import meta_graph_pb2

from serving.status import StatusError, invalid_argument

BYTES_SUFFIX = "_bytes"
"""String outputs whose names end so are base64 in replies; all others are written as they are."""

_QUOTED = 256  # characters of JSON that an error quotes


def parse_request(body: bytes) -> dict[str, Any]:
    """The object of a request; what follows it is ignored, and the first of two equal keys counts.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff").lstrip()
    if not text:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        request, _ = json.JSONDecoder(object_pairs_hook=_first_of_duplicates).raw_decode(text)
    except (ValueError, RecursionError) as error:
        where = getattr(error, "pos", 0)
        raise invalid_argument(f"JSON Parse error: Invalid value. at offset: {where}") from None
    if not isinstance(request, dict):
        raise invalid_argument(f"JSON Value: {_quote(request)} Is not object")
    return request


def signature_name(request: dict[str, Any]) -> str | None:
    """The signature that a request names, if any.

    Raises:
        StatusError: INVALID_ARGUMENT if it is no string.
    """
    name = request.get("signature_name")
    if name is not None and not isinstance(name, str):
        raise invalid_argument("'signature_name' key must be a string value.")
    return name


def to_inputs(
    request: dict[str, Any], signature: meta_graph_pb2.SignatureDef
) -> tuple[dict[str, tf.Tensor], bool]:
    """The tensors of a request, and whether it is in row format.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if ("instances" in request) == ("inputs" in request):
        raise invalid_argument(
            "Request must have exactly one of 'instances' and 'inputs' keys in JSON object"
        )
    specs = dict(signature.inputs)
    if "instances" in request:
        return _from_rows(request["instances"], specs), True
    return _from_columns(request["inputs"], specs), False


def to_reply(outputs: Mapping[str, NDArray[np.generic]], *, rows: bool) -> dict[str, Any]:
    """The JSON of a reply.

    Raises:
        StatusError: INVALID_ARGUMENT if rows are asked for and an output has none.
    """
    if rows:
        _check_rows(outputs)
    columns = {name: _to_json(name, array) for name, array in sorted(outputs.items())}
    if not rows:
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    names = list(columns)
    return {
        "predictions": [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    }


def _first_of_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _from_rows(instances: Any, specs: dict[str, Any]) -> dict[str, tf.Tensor]:
    if not isinstance(instances, list):
        raise invalid_argument("Expecting 'instances' value to be a list/array")
    if not instances:
        raise invalid_argument("No values in 'instances' array.")
    named = [isinstance(item, dict) and not _is_base64(item) for item in instances]
    if not any(named):
        if len(specs) != 1:
            raise invalid_argument(
                f"instances is a plain list, but expecting list of objects as multiple input tensors "
                f"required as per tensorinfo_map: {','.join(sorted(specs))}"
            )
        ((name, spec),) = specs.items()
        return {name: _tensor(instances, spec, "instances")}
    for position, item in enumerate(instances):
        if not named[position] or set(item) != set(specs):
            raise invalid_argument(
                f"Failed to process element: {position} of 'instances' list. Error: INVALID_ARGUMENT: "
                f"JSON object: does not have named input(s): keys must be equal to: {','.join(sorted(specs))}"
            )
    return {
        name: _tensor([item[name] for item in instances], spec, "instances") for name, spec in specs.items()
    }


def _from_columns(inputs: Any, specs: dict[str, Any]) -> dict[str, tf.Tensor]:
    if not isinstance(inputs, dict) or _is_base64(inputs):
        if len(specs) != 1:
            raise invalid_argument("'inputs' must be an object of named tensors")
        inputs = dict.fromkeys(specs, inputs)
    for name in specs:
        if name not in inputs:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
    return {name: _tensor(inputs[name], spec, "inputs") for name, spec in specs.items()}


def _tensor(value: Any, spec: Any, where: str) -> tf.Tensor:
    """A tensor of the type that the signature has there."""
    dtype = tf.as_dtype(spec.dtype)
    leaves: list[Any] = []
    shape = _flatten(value, dtype, leaves, where)
    try:
        return tf.reshape(tf.constant(leaves, dtype), shape)
    except (TypeError, ValueError, OverflowError):
        raise _wrong_type(value, dtype) from None


def _flatten(value: Any, dtype: tf.DType, leaves: list[Any], where: str) -> tuple[int, ...]:
    """Appends the leaves of nested lists; returns their shape.

    Raises:
        StatusError: INVALID_ARGUMENT if lists at the same depth differ in shape, or a leaf in type.
    """
    if not isinstance(value, list):
        leaves.append(_leaf(value, dtype))
        return ()
    shapes = {_flatten(item, dtype, leaves, where) for item in value}
    if len(shapes) > 1:
        raise invalid_argument(
            f"Encountered list at unexpected level, or of another size, in '{where}' list."
        )
    return (len(value), *(shapes.pop() if shapes else ()))


def _leaf(value: Any, dtype: tf.DType) -> Any:
    if dtype == tf.string:
        if _is_base64(value):
            return _from_base64(value["b64"])
        if isinstance(value, str):
            return value.encode("utf-8", "surrogateescape")
        raise _wrong_type(value, dtype)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype == tf.bool:
        fits = isinstance(value, bool)
    elif dtype.is_floating:
        fits = is_number
    else:
        fits = is_number and isinstance(value, int) and dtype.min <= value <= dtype.max
    if not fits:
        raise _wrong_type(value, dtype)
    return value


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def _from_base64(text: str) -> bytes:
    """Decodes as absl does: the standard alphabet, white space skipped, padding optional but exact."""
    packed = "".join(text.split())
    padding = "=" * (-len(packed) % 4)
    try:
        return base64.b64decode(packed if packed.endswith(("=", ".")) else packed + padding, validate=True)
    except (binascii.Error, ValueError):
        raise invalid_argument(f"JSON Value: {_quote(text)} Unable to base64 decode") from None


def _wrong_type(value: Any, dtype: tf.DType) -> StatusError:
    kinds = {bool: "Bool", int: "Number", float: "Number", str: "String", list: "Array", dict: "Object"}
    kind = kinds.get(type(value), "Null")
    return invalid_argument(
        f"JSON Value: {_quote(value)} Type: {kind} is not of expected type: {_type_name(dtype)}"
    )


def _type_name(dtype: tf.DType) -> str:
    return {"float32": "float", "float64": "double"}.get(dtype.name, str(dtype.name))


def _quote(value: Any) -> str:
    return json.dumps(value)[:_QUOTED]


def _check_rows(outputs: Mapping[str, NDArray[np.generic]]) -> None:
    expected: int | None = None
    for name, array in sorted(outputs.items()):
        if not array.ndim:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        expected = array.shape[0] if expected is None else expected
        if array.shape[0] != expected:
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: {expected}"
            )


def _to_json(name: str, array: NDArray[np.generic]) -> Any:
    if array.dtype == object:
        encode = _to_base64 if name.endswith(BYTES_SUFFIX) else _to_text
        return np.frompyfunc(encode, 1, 1)(array).tolist()
    if array.dtype == np.float32:
        # As text and back: the shortest decimal that is still the same float32.
        return array.astype(str).astype(np.float64).tolist()
    return array.tolist()


def _to_base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}


def _to_text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
