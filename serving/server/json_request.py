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
from serving.server.tensors import Arrays, type_name

_EXAMPLES_KEY = "examples"
_MOST_QUOTED = 256  # characters of JSON that an error message quotes
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
        raise invalid_argument(f"JSON Value: {_quote(request)} Is not object")
    return request


def signature_name(request: dict[str, Any]) -> str | None:
    """The name of the signature that a request asks for; None if it names none.

    Raises:
        StatusError: INVALID_ARGUMENT if the name is not a string.
    """
    name = request.get(SIGNATURE_NAME_KEY, "")
    if not isinstance(name, str):
        raise invalid_argument("'signature_name' key must be a string value.")
    return name or None


def check_examples(request: dict[str, Any]) -> None:
    """Refuses a request to classify or regress that has no examples.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    examples = request.get(_EXAMPLES_KEY)
    if not isinstance(examples, list) or not examples:
        raise invalid_argument(
            "When method is classify or regress, key 'examples' is expected, a list that is not empty"
        )
    for example in examples:
        if not isinstance(example, dict):
            raise invalid_argument(f"Example must be JSON object but got JSON Value: {json.dumps(example)}")


def has_rows(request: dict[str, Any]) -> bool:
    """Whether a predict request is in row format (`instances`), and not in column format (`inputs`).

    Raises:
        StatusError: INVALID_ARGUMENT if it has both or none.
    """
    if INSTANCES_KEY in request and INPUTS_KEY in request:
        raise invalid_argument("Not formatted correctly expects only one of 'instances' or 'inputs'")
    if INSTANCES_KEY not in request and INPUTS_KEY not in request:
        raise invalid_argument("Missing 'inputs' or 'instances' key")
    return INSTANCES_KEY in request


def input_arrays(request: dict[str, Any], signature: meta_graph_pb2.SignatureDef) -> Arrays:
    """The inputs of a predict request, by name.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if has_rows(request):
        return _from_rows(request[INSTANCES_KEY], signature.inputs)
    return _from_columns(request[INPUTS_KEY], signature.inputs)


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
    return dict(reversed(pairs))


def _from_rows(instances: Any, specs: Specs) -> Arrays:
    """The inputs of a list with an item for each row."""
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
            raise _row_error(position, None, invalid_argument(_wrong_names(item, specs)))
    return {
        name: _stacked([item[name] for item in instances], spec, key=name) for name, spec in specs.items()
    }


def _wrong_names(item: Any, specs: Specs) -> str:
    if isinstance(item, dict) and len(item) == len(specs):
        unknown = sorted(set(item) - set(specs))[0]
        return f"JSON object: does not have named input: {unknown}"
    names = ",".join(sorted(specs))
    return f"JSON Value: {_quote(item)} not formatted correctly, keys must be equal to: {names}"


def _from_columns(inputs: Any, specs: Specs) -> Arrays:
    """The inputs of an object with a tensor for each input, or of the tensor of the only input."""
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
        StatusError: INVALID_ARGUMENT, with the position of the first row that is wrong, or not like the row
            at 0.
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
            raise _row_error(position, key, error) from None
        rows.append(row)
    stacked = np.empty((len(rows), *rows[0].shape), rows[0].dtype)
    for position, row in enumerate(rows):
        stacked[position] = row[()]  # `[()]` takes the value out of an array without dimensions
    return stacked


def _row_error(position: int, key: str | None, error: StatusError) -> StatusError:
    element = f"{position}" if key is None else f"{position} key: {key}"
    return invalid_argument(
        f"Failed to process element: {element} of 'instances' list. Error: INVALID_ARGUMENT: {error.message}"
    )


def _array(value: Any, spec: Any) -> NDArray[Any]:
    """The array of a JSON value, in the type of an input."""
    dtype = tf.as_dtype(spec.dtype)
    leaves: list[Any] = []
    shape = _flatten(value, dtype, leaves)
    array = np.empty(len(leaves), object if dtype == tf.string else dtype.as_numpy_dtype)
    array[:] = leaves
    return array.reshape(shape)


def _flatten(value: Any, dtype: tf.DType, leaves: list[Any]) -> tuple[int, ...]:
    """Appends the values of nested lists to `leaves`, and returns the shape of the lists.

    Raises:
        StatusError: INVALID_ARGUMENT if lists at the same depth differ in shape, or a value has a wrong type.
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
            return _from_base64(value[BASE64_KEY])
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
    return isinstance(value, dict) and set(value) == {BASE64_KEY} and isinstance(value[BASE64_KEY], str)


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
        raise invalid_argument(f"JSON Value: {_quote(text)} Unable to base64 decode") from None


def _wrong_type(value: Any, dtype: tf.DType) -> StatusError:
    kinds = {bool: "Bool", int: "Number", float: "Number", str: "String", list: "Array", dict: "Object"}
    kind = kinds.get(type(value), "Null")
    return invalid_argument(
        f"JSON Value: {_quote(value)} Type: {kind} is not of expected type: {type_name(dtype)}"
    )


def _quote(value: Any) -> str:
    return json.dumps(value)[:_MOST_QUOTED]
