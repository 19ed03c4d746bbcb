"""Which models a server has: TensorFlow Serving's ModelServerConfig, and what it refuses in one."""

import re
from collections.abc import Iterable
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from serving.server.status import invalid_argument

PLATFORM = "tensorflow"

_ABSOLUTE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*://")


def aspired(policy: Any, versions: Iterable[int]) -> set[int]:
    """The versions that a ServableVersionPolicy wants of those that are there."""
    there = sorted(versions)
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return set(there)
    if kind == "specific":
        return set(there) & set(policy.specific.versions)
    newest = policy.latest.num_versions if kind == "latest" and policy.latest.num_versions else 1
    return set(there[-newest:])


def of_folder(base_paths: dict[str, str]) -> Any:
    """The configuration that serves the latest version of each model, by base path."""
    config = model_server_config_pb2.ModelServerConfig()
    for name, base_path in base_paths.items():
        config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def check(config: Any, before: Any) -> None:
    """Refuses what TensorFlow Serving refuses before it keeps a new configuration.

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
            raise invalid_argument(f"ModelServerConfig::model_platform {new} is not configured.")


def _platform(model: Any) -> str:
    deprecated = model.model_type != model_server_config_pb2.MODEL_TYPE_UNSPECIFIED
    if deprecated and model.model_platform:
        raise invalid_argument(
            "Illegal setting both ModelServerConfig::model_type (deprecated) "
            "and ModelServerConfig::model_platform."
        )
    if deprecated:
        is_ours = model.model_type == model_server_config_pb2.TENSORFLOW
        return PLATFORM if is_ours else str(model.model_type)
    if not model.model_platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) "
            "nor ModelServerConfig::model_platform."
        )
    return str(model.model_platform)
