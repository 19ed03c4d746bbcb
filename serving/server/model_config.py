"""TensorFlow Serving's ModelServerConfig: models, their versions and labels, and when it is refused."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.config import model_server_config_pb2

from serving.server.status import StatusError, invalid_argument
from serving.version_folders import version_folders
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

PLATFORM = "tensorflow"
"""The only `model_platform` that this server runs."""

_ABSOLUTE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*://")


Labels = Mapping[str, Mapping[str, int]]
"""Number of the version that each label of a model names, by the name of the model."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the versions of a model are found, and which of them are wanted."""

    base_path: str
    policy: Any
    """A ServableVersionPolicy."""


def from_folder(models: str) -> Any:
    """The configuration that serves the newest version of each model in a folder.

    Args:
        models: folder of models; a path or a URL.

    Returns:
        A ModelServerConfig.

    Raises:
        UserError: if there is no such folder, or no model in it.
    """
    export = f"export a run with `python -m serving.export RUN {models}`"
    if not tf.io.gfile.isdir(models):
        raise UserError(f"there is no folder {models!r}: {export}")
    folder = models if storage.is_url(models) else str(Path(models).absolute())
    config = model_server_config_pb2.ModelServerConfig()
    for name in sorted(name.rstrip("/") for name in tf.io.gfile.listdir(models)):
        base_path = storage.join(folder, name)
        if tf.io.gfile.isdir(base_path) and version_folders(base_path):
            config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    if not config.model_config_list.config and version_folders(models):
        raise UserError(f"{models!r} is the folder of one model: give the folder that it is in")
    if not config.model_config_list.config:
        raise UserError(f"{models!r} holds no model, that is no file MODEL/VERSION/saved_model.pb: {export}")
    return config


def sources(config: Any) -> dict[str, Source]:
    """Where the models of a ModelServerConfig are found, by name."""
    return {
        model.name: Source(model.base_path, model.model_version_policy)
        for model in config.model_config_list.config
    }


def labels(config: Any) -> Labels:
    """The labels of a ModelServerConfig."""
    return {model.name: dict(model.version_labels) for model in config.model_config_list.config}


def wanted_versions(policy: Any, versions: Iterable[int]) -> set[int]:
    """Which of the versions a policy wants to be served.

    Args:
        policy: a ServableVersionPolicy.
        versions: the numbers of the versions that there are.
    """
    numbers = sorted(versions)
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return set(numbers)
    if kind == "specific":
        return set(numbers) & set(policy.specific.versions)
    count = policy.latest.num_versions if kind == "latest" and policy.latest.num_versions else 1
    return set(numbers[-count:])


def check(config: Any, before: Any) -> None:
    """Refuses a configuration for the reasons for which TensorFlow Serving refuses it.

    Args:
        config: the new ModelServerConfig.
        before: the ModelServerConfig that it would replace.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid_argument(
            "ServerModelConfig type not supported by HandleReloadConfigRequest."
            " Only ModelConfigList is currently supported"
        )
    names: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in names:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
    for model in config.model_config_list.config:
        if not _ABSOLUTE.match(model.base_path):
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; "
                f"got base_path()={model.base_path}"
            )
    _check_platforms(config, before)


def check_labels(
    config: Any, before: Labels, available: Mapping[str, set[int]], new_labels_may_wait: bool
) -> None:
    """Refuses a configuration with a label of a version that is not available.

    Args:
        config: the new ModelServerConfig.
        before: the labels of the configuration that it would replace.
        available: the numbers of the available versions, by the name of the model.
        new_labels_may_wait: whether a label that is not in `before` may name a version that is not available.

    Raises:
        StatusError: FAILED_PRECONDITION.
    """
    for model, versions_by_label in labels(config).items():
        for label, version in versions_by_label.items():
            is_moved = before.get(model, {}).get(label, version) != version
            may_wait = new_labels_may_wait and not is_moved
            if version not in available.get(model, set()) and not may_wait:
                raise StatusError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {model}, "
                    "which is not currently available for inference",
                )


def _check_platforms(config: Any, before: Any) -> None:
    old = {model.name: _platform(model) for model in before.model_config_list.config}
    for model in config.model_config_list.config:
        new = _platform(model)
        if new != old.get(model.name, new):
            raise invalid_argument(
                f"Illegal to change a model's platform. For model {model.name} platform was "
                f"{old[model.name]} and new platform requested is {new}"
            )
        if new != PLATFORM:
            raise invalid_argument(f"Model {model.name} requests unsupported platform {new}")


def _platform(model: Any) -> str:
    """The platform of a model; `model_type` is the older way to name it."""
    has_type = model.model_type != model_server_config_pb2.MODEL_TYPE_UNSPECIFIED
    if has_type and model.model_platform:
        raise invalid_argument(
            "Illegal setting both ModelServerConfig::model_type (deprecated) "
            "and ModelServerConfig::model_platform."
        )
    if has_type:
        if model.model_type == model_server_config_pb2.TENSORFLOW:
            return PLATFORM
        raise invalid_argument(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
    if not model.model_platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) "
            f"nor ModelServerConfig::model_platform, model name is {model.name}"
        )
    return str(model.model_platform)
