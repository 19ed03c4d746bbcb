"""TensorFlow Serving's JSON of tensors: what a REST predict request holds and what its reply says."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import meta_graph_pb2

from serving.names import BYTES_SUFFIX
from serving.server.status import StatusError, invalid_argument
from serving.server.tensors import dtype_of, type_name

_QUOTED = 256  # characters of JSON that an error quotes
_BYTE_ORDER_MARK = "\ufeff"
_STRING_OR_INF = re.compile(r'"(?:[^"\\]|\\.)*"?|\bInf\b', re.DOTALL)

Arrays = dict[str, NDArray[Any]]
Specs = Mapping[str, Any]


def parse_request(body: bytes) -> dict[str, Any]:
    """The object of a request; what follows it is ignored, and the first of two equal keys counts.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    text = body.decode("utf-8", "surrogateescape").removeprefix(_BYTE_ORDER_MARK).lstrip(" \t\r\n")
    if not text:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        request = _first_value(text)
    except (ValueError, RecursionError) as error:
        where = getattr(error, "pos", 0)
        raise invalid_argument(f"JSON Parse error: Invalid value. at offset: {where}") from None
    if not isinstance(request, dict):
        raise invalid_argument(f"JSON Value: {_quote(request)} Is not object")
    return request


def _first_value(text: str) -> Any:
    decoder = json.JSONDecoder(object_pairs_hook=_first_of_duplicates)
    try:
        return decoder.raw_decode(text)[0]
    except ValueError:
        # RapidJSON takes Inf and Infinity for numbers, Python only the latter.
        spelled_out = _STRING_OR_INF.sub(lambda at: "Infinity" if at[0] == "Inf" else at[0], text)
        if spelled_out == text:
            raise
    return decoder.raw_decode(spelled_out)[0]


def signature_name(request: dict[str, Any]) -> str | None:
    """The signature that a request names, if any.

    Raises:
        StatusError: INVALID_ARGUMENT if it is no string.
    """
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument("'signature_name' key must be a string value.")
    return name or None


def to_inputs(request: dict[str, Any], signature: meta_graph_pb2.SignatureDef) -> tuple[Arrays, bool]:
    """The arrays of a request, and whether it is in row format.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if "instances" in request and "inputs" in request:
        raise invalid_argument("Not formatted correctly expects only one of 'instances' or 'inputs'")
    if "instances" in request:
        return _from_rows(request["instances"], signature.inputs), True
    if "inputs" in request:
        return _from_columns(request["inputs"], signature.inputs), False
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def to_reply(outputs: Arrays, *, rows: bool) -> bytes:
    """The JSON of a reply; strings that are not UTF-8 are written as they are.

    Raises:
        StatusError: INVALID_ARGUMENT if rows are asked for and an output has none, or of a type that JSON
            has not.
    """
    if rows:
        _check_rows(outputs)
    writers = {name: _Writer(name, array) for name, array in sorted(outputs.items())}
    if rows:
        text = _object({"predictions": f"[{', '.join(_rows(writers))}]"})
    elif len(writers) == 1:
        text = _object({"outputs": next(iter(writers.values())).whole()})
    else:
        text = _object({"outputs": _object({name: writer.whole() for name, writer in writers.items()})})
    return text.encode("utf-8", "surrogateescape")


def _first_of_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _from_rows(instances: Any, specs: Specs) -> Arrays:
    if not isinstance(instances, list):
        raise invalid_argument("Expecting 'instances' value to be a list/array")
    if not instances:
        raise invalid_argument("No values in 'instances' array.")
    if not isinstance(instances[0], dict) or _is_base64(instances[0]):
        if len(specs) != 1:
            raise invalid_argument(
                "instances is a plain list, but expecting list of objects as multiple input tensors "
                f"required as per tensorinfo_map: {','.join(sorted(specs))}"
            )
        ((name, spec),) = specs.items()
        return {name: _stacked(instances, spec, key=None)}
    for position, item in enumerate(instances):
        if not isinstance(item, dict) or set(item) != set(specs):
            raise _of_element(position, None, invalid_argument(_misnamed(item, specs)))
    return {
        name: _stacked([item[name] for item in instances], spec, key=name) for name, spec in specs.items()
    }


def _misnamed(item: Any, specs: Specs) -> str:
    if isinstance(item, dict) and len(item) == len(specs):
        other = sorted(set(item) - set(specs))[0]
        return f"JSON object: does not have named input: {other}"
    names = ",".join(sorted(specs))
    return f"JSON Value: {_quote(item)} not formatted correctly, keys must be equal to: {names}"


def _from_columns(inputs: Any, specs: Specs) -> Arrays:
    if not isinstance(inputs, dict) or _is_base64(inputs):
        if len(specs) != 1:
            raise invalid_argument("'inputs' is a plain value/list, but expecting an object of named tensors")
        inputs = dict.fromkeys(specs, inputs)
    for name in specs:
        if name not in inputs:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
    return {name: _array(inputs[name], spec) for name, spec in specs.items()}


def _stacked(items: list[Any], spec: Any, key: str | None) -> NDArray[Any]:
    """One array of all rows.

    Raises:
        StatusError: INVALID_ARGUMENT, which names the row that is wrong or is not like the first.
    """
    rows: list[NDArray[Any]] = []
    for position, item in enumerate(items):
        try:
            row = _array(item, spec)
            if rows and row.shape != rows[0].shape:
                raise invalid_argument(
                    f"Expecting tensor size: {rows[0].size} but got: {row.size}"
                    if row.ndim
                    else f"Encountered list at unexpected level, or a value instead of one: {_quote(item)}"
                )
        except StatusError as error:
            raise _of_element(position, key, error) from None
        rows.append(row)
    stacked = np.empty((len(rows), *rows[0].shape), rows[0].dtype)
    for position, row in enumerate(rows):
        stacked[position] = row[()]  # of an array without dimensions, what it holds
    return stacked


def _of_element(position: int, key: str | None, error: StatusError) -> StatusError:
    where = f"{position}" if key is None else f"{position} key: {key}"
    return invalid_argument(
        f"Failed to process element: {where} of 'instances' list. Error: INVALID_ARGUMENT: {error.message}"
    )


def _array(value: Any, spec: Any) -> NDArray[Any]:
    """An array of the type that the signature has there."""
    dtype = tf.as_dtype(spec.dtype)
    leaves: list[Any] = []
    shape = _flatten(value, dtype, leaves)
    array = np.empty(len(leaves), object if dtype == tf.string else dtype.as_numpy_dtype)
    array[:] = leaves
    return array.reshape(shape)


def _flatten(value: Any, dtype: tf.DType, leaves: list[Any]) -> tuple[int, ...]:
    """Appends the leaves of nested lists; returns their shape.

    Raises:
        StatusError: INVALID_ARGUMENT if lists at the same depth differ in shape, or a leaf in type.
    """
    if not isinstance(value, list):
        leaves.append(_leaf(value, dtype))
        return ()
    shapes = {_flatten(item, dtype, leaves) for item in value}
    if len(shapes) > 1:
        raise invalid_argument(
            "Encountered list at unexpected level, or of another size than its neighbours."
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
    digits = packed.rstrip("=.")
    padding = -len(digits) % 4
    try:
        if len(packed) not in (len(digits), len(digits) + padding):
            raise binascii.Error("padding that is not exact")
        return base64.b64decode(digits + "=" * padding, validate=True)
    except ValueError:  # binascii.Error is one
        raise invalid_argument(f"JSON Value: {_quote(text)} Unable to base64 decode") from None


def _wrong_type(value: Any, dtype: tf.DType) -> StatusError:
    kinds = {bool: "Bool", int: "Number", float: "Number", str: "String", list: "Array", dict: "Object"}
    kind = kinds.get(type(value), "Null")
    return invalid_argument(
        f"JSON Value: {_quote(value)} Type: {kind} is not of expected type: {type_name(dtype)}"
    )


def _quote(value: Any) -> str:
    return json.dumps(value)[:_QUOTED]


def _check_rows(outputs: Arrays) -> None:
    expected: int | None = None
    for name, array in sorted(outputs.items()):
        if not array.ndim:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        expected = array.shape[0] if expected is None else expected
        if array.shape[0] != expected:
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: {expected}"
            )


def _rows(writers: dict[str, "_Writer"]) -> list[str]:
    count = next(iter(writers.values())).rows
    if len(writers) == 1:
        (writer,) = writers.values()
        return [writer.row(position) for position in range(count)]
    return [_object({name: w.row(position) for name, w in writers.items()}) for position in range(count)]


def _object(members: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in members.items()) + "}"


class _Writer:
    """Writes one output as JSON."""

    def __init__(self, name: str, array: NDArray[Any]) -> None:
        self._array = array
        self._write = _writer_of(name, array)

    @property
    def rows(self) -> int:
        return int(self._array.shape[0])

    def row(self, position: int) -> str:
        return self._nested(self._array[position])

    def whole(self) -> str:
        return self._nested(self._array)

    def _nested(self, values: Any) -> str:
        if not isinstance(values, np.ndarray) or not values.ndim:
            return self._write(values.item() if isinstance(values, np.ndarray) else values)
        if values.ndim > 1:
            return f"[{', '.join(self._nested(value) for value in values)}]"
        return f"[{', '.join(map(self._write, values))}]"


def _writer_of(name: str, array: NDArray[Any]) -> Callable[[Any], str]:
    if array.dtype == object:
        return _base64_text if name.endswith(BYTES_SUFFIX) else _string_text
    if array.dtype == np.float32:
        return lambda value: _number_text(float(value), 9, np.float32)
    if array.dtype == np.float64:
        return lambda value: _number_text(float(value), 17, np.float64)
    if array.dtype == np.bool_:
        return lambda value: "true" if value else "false"
    if array.dtype.kind in "iu":
        return lambda value: str(int(value))
    raise invalid_argument(f"Failed to write JSON value for tensor type: {type_name(dtype_of(array))}")


def _base64_text(value: bytes) -> str:
    return _object({"b64": f'"{base64.b64encode(value).decode("ascii")}"'})


def _string_text(value: bytes) -> str:
    return json.dumps(value.decode("utf-8", "surrogateescape"), ensure_ascii=False)


def _number_text(value: float, digits: int, dtype: Callable[[Any], Any]) -> str:
    """As C's %g, or with as many digits as bring the same number back."""
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    text = f"{value:g}"
    if dtype(text) != dtype(value):
        text = f"{value:.{digits}g}"
    return text if "." in text or "e" in text else f"{text}.0"
