"""The JSON of REST replies: predictions, the metadata and status of models, and errors.

A new key of a whole reply is written here; what is answered for each image is an output of the model,
`serving/signatures.py`. See docs/serving-contract.md, sections 6 and 8; `json_request` reads
requests.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.names import BASE64_KEY, BYTES_SUFFIX, ERROR_KEY, OUTPUTS_KEY, PREDICTIONS_KEY
from serving.server.status import StatusError, invalid_argument
from serving.server.tensors import Arrays, dtype_of, type_name


def error_reply(error: StatusError) -> bytes:
    """The reply to a request that failed."""
    text = json.dumps({ERROR_KEY: error.message}, ensure_ascii=False)
    return text.encode("utf-8", "replace")


def metadata_reply(response: Any) -> bytes:
    """The reply with the signatures of a version, from a GetModelMetadataResponse."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    metadata = {"signature_def": _to_dict(signatures)}
    return _indented({"model_spec": _to_dict(response.model_spec), "metadata": metadata})


def status_reply(response: Any) -> bytes:
    """The reply with the states of a model's versions, from a GetModelStatusResponse."""
    return _indented(_to_dict(response))


def predict_reply(outputs: Arrays, *, rows: bool) -> bytes:
    """The reply to a predict request. Strings that are not valid UTF-8 are written all the same.

    Args:
        outputs: outputs of the signature, by name.
        rows: True for a list with an item for each row, False for a list for each output.

    Raises:
        StatusError: INVALID_ARGUMENT if rows are asked for and the outputs differ in their number of rows, or
            if JSON cannot express the type of an output.
    """
    if rows:
        _check_rows(outputs)
    writers = {name: _OutputWriter(name, array) for name, array in sorted(outputs.items())}
    if rows:
        text = _object({PREDICTIONS_KEY: f"[{', '.join(_rows(writers))}]"})
    elif len(writers) == 1:
        text = _object({OUTPUTS_KEY: next(iter(writers.values())).all_rows()})
    else:
        text = _object({OUTPUTS_KEY: _object({name: writer.all_rows() for name, writer in writers.items()})})
    return text.encode("utf-8", "surrogateescape")


def _to_dict(message: Any) -> dict[str, Any]:
    return dict(
        json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    )


def _indented(reply: dict[str, Any]) -> bytes:
    return json.dumps(reply, indent=1, ensure_ascii=False).encode()


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


def _rows(writers: dict[str, "_OutputWriter"]) -> list[str]:
    count = next(iter(writers.values())).num_rows
    if len(writers) == 1:
        (writer,) = writers.values()
        return [writer.row(position) for position in range(count)]
    return [
        _object({name: writer.row(position) for name, writer in writers.items()}) for position in range(count)
    ]


def _object(members: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in members.items()) + "}"


class _OutputWriter:
    """Writes one output as JSON."""

    def __init__(self, name: str, array: NDArray[Any]) -> None:
        self._array = array
        self._value_text = _value_writer(name, array)

    @property
    def num_rows(self) -> int:
        return int(self._array.shape[0])

    def row(self, position: int) -> str:
        return self._nested(self._array[position])

    def all_rows(self) -> str:
        return self._nested(self._array)

    def _nested(self, values: Any) -> str:
        if not isinstance(values, np.ndarray) or not values.ndim:
            return self._value_text(values.item() if isinstance(values, np.ndarray) else values)
        if values.ndim > 1:
            return f"[{', '.join(self._nested(value) for value in values)}]"
        return f"[{', '.join(map(self._value_text, values))}]"


def _value_writer(name: str, array: NDArray[Any]) -> Callable[[Any], str]:
    """The function that writes one value of an output."""
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
    return _object({BASE64_KEY: f'"{base64.b64encode(value).decode("ascii")}"'})


def _string_text(value: bytes) -> str:
    return json.dumps(value.decode("utf-8", "surrogateescape"), ensure_ascii=False)


def _number_text(value: float, digits: int, dtype: Callable[[Any], Any]) -> str:
    """Writes a number as C's `%g`, or with `digits` digits if `%g` would not read back as the same number."""
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    text = f"{value:g}"
    if dtype(text) != dtype(value):
        text = f"{value:.{digits}g}"
    return text if "." in text or "e" in text else f"{text}.0"
