"""The JSON of REST requests: parsed, and turned into the inputs of a signature.

A new key of requests is read here. See docs/serving-contract.md, section 5; `json_reply` writes the answers.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import meta_graph_pb2

from serving.names import BASE64_KEY, INPUTS_KEY, INSTANCES_KEY, SIGNATURE_NAME_KEY
from serving.server.status import StatusError, invalid_argument
from serving.server.tensors import MAX_DIMENSIONS, Arrays, type_name

_CONTEXT_KEY = "context"
_EXAMPLES_KEY = "examples"
_MAX_QUOTED = 256  # characters of JSON that an error message quotes
_BYTE_ORDER_MARK = "\ufeff"
_STRING_OR_INF = re.compile(r'"(?:[^"\\]|\\.)*"?|\bInf\b', re.DOTALL)

Specs = Mapping[str, Any]
"""TensorInfo of each input of a signature, by the name of the input."""


def parse(body: bytes) -> dict[str, Any]:
    """Parses the JSON object at the start of a body, as RapidJSON does for TensorFlow Serving.

    What follows the object is ignored. If a key is given twice, the first value counts.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    text = body.decode("utf-8", "surrogateescape").removeprefix(_BYTE_ORDER_MARK).lstrip(" \t\r\n")
    if not text:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        request = _first_value(text)
    except (ValueError, RecursionError) as error:
        position = getattr(error, "pos", 0)
        raise invalid_argument(f"JSON Parse error: Invalid value. at offset: {position}") from None
    if not isinstance(request, dict):
        raise _format_error(request, "Is not object")
    return request


def signature_name(request: dict[str, Any]) -> str | None:
    """The name of the signature that a request asks for; None if it names none.

    Raises:
        StatusError: INVALID_ARGUMENT if the name is not a string.
    """
    name = request.get(SIGNATURE_NAME_KEY, "")
    if not isinstance(name, str):
        raise _format_error(
            request, f"not formatted correctly. '{SIGNATURE_NAME_KEY}' key must be a string value."
        )
    return name or None


def check_examples(request: dict[str, Any]) -> None:
    """Refuses a request to classify or regress that has no examples.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if _CONTEXT_KEY in request:
        _check_example(request[_CONTEXT_KEY])
    if _EXAMPLES_KEY not in request:
        # These are TensorFlow Serving's words for a request to regress, too.
        raise _format_error(
            request, f"When method is classify, key '{_EXAMPLES_KEY}' is expected and was not found"
        )
    examples = request[_EXAMPLES_KEY]
    if not isinstance(examples, list):
        raise _format_error(request, f"Expecting '{_EXAMPLES_KEY}' value to be an list/array")
    if not examples:
        raise _format_error(request, f"'{_EXAMPLES_KEY}' value is an empty array")
    for example in examples:
        _check_example(example)


def is_row_format(request: dict[str, Any]) -> bool:
    """Whether a predict request is in row format (`instances`), and not in column format (`inputs`).

    Raises:
        StatusError: INVALID_ARGUMENT if it has both or none.
    """
    if INSTANCES_KEY in request and INPUTS_KEY in request:
        raise _format_error(
            request,
            f"Not formatted correctly expecting only one of '{INPUTS_KEY}' or '{INSTANCES_KEY}' "
            "keys to exist ",  # the space at the end is TensorFlow Serving's
        )
    if INSTANCES_KEY not in request and INPUTS_KEY not in request:
        raise invalid_argument("Missing 'inputs' or 'instances' key")
    return INSTANCES_KEY in request


def input_arrays(request: dict[str, Any], signature: meta_graph_pb2.SignatureDef) -> Arrays:
    """The inputs of a predict request, by name.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if not is_row_format(request):
        return _from_columns(request[INPUTS_KEY], signature.inputs)
    instances = request[INSTANCES_KEY]
    if not isinstance(instances, list):
        raise _format_error(request, f"Expecting '{INSTANCES_KEY}' to be an list/array")
    if not instances:
        raise _format_error(request, f"No values in '{INSTANCES_KEY}' array")
    return _from_rows(instances, signature.inputs)


def _first_value(text: str) -> Any:
    decoder = json.JSONDecoder(object_pairs_hook=_first_of_duplicates)
    try:
        return decoder.raw_decode(text)[0]
    except ValueError:
        # RapidJSON takes Inf and Infinity for numbers, Python only Infinity.
        spelled_out = _STRING_OR_INF.sub(lambda at: "Infinity" if at[0] == "Inf" else at[0], text)
        if spelled_out == text:
            raise
    return decoder.raw_decode(spelled_out)[0]


def _first_of_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        members.setdefault(key, value)
    return members


def _check_example(example: Any) -> None:
    if not isinstance(example, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {_kind(example)}")


def _from_rows(instances: list[Any], specs: Specs) -> Arrays:
    """The inputs of a list with an item for each row."""
    rows_are_objects = _is_object(instances[0])
    if not rows_are_objects and len(specs) != 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as "
            "per tensorinfo_map"
        )
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in specs}
    for position, item in enumerate(instances):
        if _is_object(item) != rows_are_objects:
            expected, received = ("object", "list") if rows_are_objects else ("value/list", "object")
            raise invalid_argument(
                f"Expecting {expected} but got {received} at item {position} of input list"
            )
        if rows_are_objects:
            _add_object(columns, position, item, specs)
        else:
            _add_value(columns, position, item, specs)
    return {name: _stacked(rows) for name, rows in columns.items()}


def _add_object(
    columns: dict[str, list[NDArray[Any]]], position: int, item: dict[str, Any], specs: Specs
) -> None:
    """Adds a row that names its inputs."""
    for name, value in item.items():
        try:
            if name not in specs:
                raise invalid_argument(f"JSON object: does not have named input: {name}")
            _add_row(columns[name], value, specs[name])
        except StatusError as error:
            raise _row_error(f"{position} key: {name}", error) from None
    if len(item) != len(specs):
        raise invalid_argument(
            f"Failed to process element: {position} of '{INSTANCES_KEY}' list. JSON object: {_quote(item)} "
            f"keys must be equal to: {','.join(sorted(specs))}"
        )


def _add_value(columns: dict[str, list[NDArray[Any]]], position: int, item: Any, specs: Specs) -> None:
    """Adds a row of the only input."""
    ((name, spec),) = specs.items()
    try:
        _add_row(columns[name], item, spec)
    except StatusError as error:
        raise _row_error(f"{position}", error) from None


def _add_row(rows: list[NDArray[Any]], value: Any, spec: Any) -> None:
    """Adds a row to those of its input; it must be like the first of them."""
    row = _array(value, spec)
    first = rows[0] if rows else row
    if row.size != first.size:
        raise invalid_argument(f"Expecting tensor size: {first.size} but got: {row.size}")
    if row.shape != first.shape:
        raise invalid_argument(f"Expecting shape {_shape(first)} but got: {_shape(row)}")
    rows.append(row)


def _stacked(rows: list[NDArray[Any]]) -> NDArray[Any]:
    stacked = np.empty((len(rows), *rows[0].shape), rows[0].dtype)
    for position, row in enumerate(rows):
        stacked[position] = row[()]  # `[()]` takes the value out of an array without dimensions
    return stacked


def _row_error(element: str, error: StatusError) -> StatusError:
    return invalid_argument(
        f"Failed to process element: {element} of '{INSTANCES_KEY}' list. "
        f"Error: INVALID_ARGUMENT: {error.message}"
    )


def _from_columns(inputs: Any, specs: Specs) -> Arrays:
    """The inputs of an object with a tensor for each input, or of the tensor of the only input."""
    if not _is_object(inputs):
        if len(specs) != 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as "
                "per tensorinfo_map"
            )
        inputs = dict.fromkeys(specs, inputs)
    for name in specs:
        if name not in inputs:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
    return {name: _array(inputs[name], spec) for name, spec in specs.items()}


def _array(value: Any, spec: Any) -> NDArray[Any]:
    """The array of a JSON value, in the type of an input."""
    dtype = tf.as_dtype(spec.dtype)
    shape = _shape_of_first_items(value)
    if len(shape) >= MAX_DIMENSIONS:  # rows become one more dimension
        raise invalid_argument(f"{len(shape)} dimensions are more than the limit of {MAX_DIMENSIONS - 1}")
    leaves: list[Any] = []
    _collect_leaves(value, 0, shape, dtype, leaves)
    array = np.empty(len(leaves), object if dtype == tf.string else dtype.as_numpy_dtype)
    array[:] = leaves
    return array.reshape(shape)


def _shape_of_first_items(value: Any) -> tuple[int, ...]:
    """The shape that nested lists have if all their items are like the first ones."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _collect_leaves(
    value: Any, level: int, shape: tuple[int, ...], dtype: tf.DType, leaves: list[Any]
) -> None:
    """Appends the values of nested lists to `leaves`.

    Args:
        value: a list, or one of the values in it.
        level: number of lists around it.
        shape: the shape that the outermost list must have.
        dtype: type that each value must have.
        leaves: where the values are appended.

    Raises:
        StatusError: INVALID_ARGUMENT for a list or a value that is elsewhere or has another type.
    """
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise _format_error(
                value, f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {rank}"
            )
        leaves.append(_leaf(value, dtype))
        return
    if level >= rank:
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        _collect_leaves(item, level + 1, shape, dtype, leaves)


def _leaf(value: Any, dtype: tf.DType) -> Any:
    if dtype == tf.string:
        if _is_base64(value):
            return _from_base64(value[BASE64_KEY])
        if isinstance(value, str):
            return value.encode("utf-8", "surrogateescape")
        if isinstance(value, dict):
            raise _format_error(value, "not formatted correctly for base64 data")
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
    return isinstance(value, dict) and set(value) == {BASE64_KEY} and isinstance(value[BASE64_KEY], str)


def _is_object(value: Any) -> bool:
    """Whether a value names its members; bytes, `{"b64": "..."}`, do not."""
    return isinstance(value, dict) and not _is_base64(value)


def _from_base64(text: str) -> bytes:
    """Decodes base64 as the library absl does: it skips white space and accepts missing padding."""
    packed = "".join(text.split())
    digits = packed.rstrip("=.")
    padding = -len(digits) % 4
    try:
        if len(packed) not in (len(digits), len(digits) + padding):
            raise binascii.Error("the padding is wrong")
        return base64.b64decode(digits + "=" * padding, validate=True)
    except ValueError:  # binascii.Error is a ValueError
        raise invalid_argument("Unable to base64 decode") from None


def _wrong_type(value: Any, dtype: tf.DType) -> StatusError:
    return _format_error(value, f"Type: {_kind(value)} is not of expected type: {type_name(dtype)}")


def _format_error(value: Any, problem: str) -> StatusError:
    return invalid_argument(f"JSON Value: {_quote(value)} {problem}")


def _kind(value: Any) -> str:
    """RapidJSON's name of the type of a value; `true` and `false` are types of their own."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    kinds: dict[type, str] = {str: "String", list: "Array", dict: "Object"}
    return kinds.get(type(value), "Number")


def _shape(array: NDArray[Any]) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _quote(value: Any) -> str:
    return json.dumps(value)[:_MAX_QUOTED]
