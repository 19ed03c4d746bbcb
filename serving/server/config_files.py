"""Reads TensorFlow Serving's configuration files, which are protocol buffers as text.

The package `tensorflow-serving-api` declares only the messages of the model configuration. This module
declares the messages of batching, monitoring and TLS, with the names and numbers of
`session_bundle_config.proto`, `monitoring_config.proto` and `ssl_config.proto`.
"""

from typing import Any

import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

_PACKAGE = "chest_xray_pipeline.serving"  # in tensorflow.serving, a later package may declare them itself
_FILE = "chest_xray_pipeline/serving/config_files.proto"
_INT64, _BOOL, _STRING, _MESSAGE = 3, 8, 9, 11  # FieldDescriptorProto.Type in descriptor.proto
_OPTIONAL, _REPEATED = 1, 3  # FieldDescriptorProto.Label in descriptor.proto

_INT64_VALUE = ".google.protobuf.Int64Value"
# Fields of each message: name, number, type, and the name of the type if it is a message.
_MESSAGES: dict[str, tuple[tuple[str, int, int, str], ...]] = {
    "BatchingParameters": (
        ("max_batch_size", 1, _MESSAGE, _INT64_VALUE),
        ("batch_timeout_micros", 2, _MESSAGE, _INT64_VALUE),
        ("max_enqueued_batches", 3, _MESSAGE, _INT64_VALUE),
        ("num_batch_threads", 4, _MESSAGE, _INT64_VALUE),
        ("thread_pool_name", 5, _MESSAGE, ".google.protobuf.StringValue"),
        ("allowed_batch_sizes", 6, _INT64, ""),
        ("pad_variable_length_inputs", 7, _BOOL, ""),
        ("enable_large_batch_splitting", 8, _MESSAGE, ".google.protobuf.BoolValue"),
        ("max_execution_batch_size", 9, _MESSAGE, _INT64_VALUE),
    ),
    "PrometheusConfig": (("enable", 1, _BOOL, ""), ("path", 2, _STRING, "")),
    "MonitoringConfig": (("prometheus_config", 1, _MESSAGE, f".{_PACKAGE}.PrometheusConfig"),),
    "SSLConfig": (
        ("server_key", 1, _STRING, ""),
        ("server_cert", 2, _STRING, ""),
        ("custom_ca", 3, _STRING, ""),
        ("client_verify", 4, _BOOL, ""),
    ),
}


def _declare() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name=_FILE, package=_PACKAGE, syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, type_name in fields:
            label = _REPEATED if field == "allowed_batch_sizes" else _OPTIONAL
            declared = message.field.add(name=field, number=number, label=label)
            declared.type = kind
            if type_name:
                declared.type_name = type_name
    pool = descriptor_pool.Default()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _declare()


def read_model_config(path: str) -> Any:
    """Reads the ModelServerConfig of `--model_config_file`.

    Raises:
        UserError: if the file cannot be read or parsed. The functions below raise the same.
    """
    return _read(path, model_server_config_pb2.ModelServerConfig())


def read_batching_parameters(path: str) -> Any:
    """Reads the BatchingParameters of `--batching_parameters_file`."""
    return _read(path, _CLASSES["BatchingParameters"]())


def read_monitoring_config(path: str) -> Any:
    """Reads the MonitoringConfig of `--monitoring_config_file`."""
    return _read(path, _CLASSES["MonitoringConfig"]())


def read_ssl_config(path: str) -> Any:
    """Reads the SSLConfig of `--ssl_config_file`."""
    return _read(path, _CLASSES["SSLConfig"]())


def _read(path: str, message: Any) -> Any:
    name = message.DESCRIPTOR.name
    try:
        return text_format.Parse(storage.read(path), message)
    except OSError as error:
        raise UserError(f"cannot read the {name} file {path!r}: {error.strerror}") from None
    except tf.errors.OpError as error:
        raise UserError(f"cannot read the {name} file {path!r}: {error.message}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(f"{path!r} does not hold a {name} as text: {error}") from None
