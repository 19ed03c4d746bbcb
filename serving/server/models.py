"""All models of a server: their configuration, their labels, and the thread that keeps them up to date."""

import contextlib
import dataclasses
import functools
import logging
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.config import model_server_config_pb2

from serving.server import model_config
from serving.server.batching import Batching
from serving.server.config_files import read_model_config
from serving.server.servable import Servable
from serving.server.status import StatusError, invalid_argument
from serving.server.versions import Retries, State, Version, Versions
from serving.version_folders import version_folders
from tfrecords_builder.errors import UserError

_SHORTEST_WAIT = 0.05  # seconds between two looks at versions that wait for their last request

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Upkeep:
    """How models are loaded and kept up to date."""

    poll_seconds: float = 1.0
    """Between two looks for new versions."""
    config_file: str | None = None
    """Model configuration that is read again."""
    config_poll_seconds: float = 0.0
    """Between two readings of it; 0: never."""
    retries: Retries = Retries(most=5, interval=60.0)  # noqa: RUF009 - frozen
    """Of versions that appear while the server runs; at its start, the first failure ends it."""
    labels_for_unavailable: bool = False
    """Whether a new label may name a version that does not answer yet."""
    batching: Batching | None = None


class Models:
    """The served models by name.

    Args:
        config: ModelServerConfig.
        upkeep: how they are kept up to date.

    Raises:
        UserError: if the configuration is refused, or a version cannot be loaded.
    """

    def __init__(self, config: Any, upkeep: Upkeep) -> None:
        self._upkeep = upkeep
        self._config = model_server_config_pb2.ModelServerConfig()
        self._versions: dict[str, Versions] = {}
        self._base_paths: dict[str, tuple[str, Any]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._reloading = threading.Lock()
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._stopping = False
        try:
            self._accept(config)
        except StatusError as error:
            raise UserError(f"the model configuration is refused: {error.message}") from None
        self._load_at_start()
        self._threads = [threading.Thread(target=self._keep_up_to_date, daemon=True, name="models")]
        if upkeep.config_file is not None and upkeep.config_poll_seconds > 0:
            reread = functools.partial(self._reread_config, upkeep.config_file)
            self._threads.append(threading.Thread(target=reread, daemon=True, name="config"))
        self._config_due = threading.Event()
        for thread in self._threads:
            thread.start()

    def serving(self) -> dict[str, set[int]]:
        """The versions that answer, by model."""
        return {name: versions.available() for name, versions in self._versions.items()}

    @contextlib.contextmanager
    def servable(self, name: str, version: int | None = None, label: str | None = None) -> Iterator[Servable]:
        """Lends the servable of a request; it is not unloaded before it is returned.

        Raises:
            StatusError: INVALID_ARGUMENT for an unknown label, NOT_FOUND for an unknown model or version.
        """
        if label is not None:
            version = self._labels.get(name, {}).get(label)
            if version is None:
                raise invalid_argument(f"Unrecognized servable version label: {label}")
        versions = self._versions.get(name)
        with versions.answering(version) if versions else contextlib.nullcontext() as servable:
            if servable is None:
                asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
                raise StatusError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}")
            yield servable

    def states(self, name: str, version: int | None = None) -> list[Version]:
        """The versions of a model, newest first.

        Raises:
            StatusError: NOT_FOUND if there is none.
        """
        versions = self._versions.get(name)
        known = versions.states() if versions else []
        chosen = [state for state in known if version in (None, state.number)]
        if not chosen:
            what = "any versions" if version is None else f"version {version}"
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"Could not find {what} of model {name}")
        return chosen

    def reload(self, config: Any) -> None:
        """Replaces the configuration, and waits until every new model answers.

        Raises:
            StatusError: INVALID_ARGUMENT or FAILED_PRECONDITION if it is refused, UNKNOWN if a new model
                cannot be loaded.
        """
        with self._reloading:
            before = set(self._base_paths)
            self._accept(config)
            self._wake.set()
            new = set(self._base_paths) - before
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or all(self._is_decided(n) for n in new))
            failed = sorted(name for name in new if not self._versions[name].available())
        if failed:
            listed = ", ".join(self._described_failure(name) for name in failed)
            raise StatusError(
                grpc.StatusCode.UNKNOWN, f"{len(failed)} model(s) did not become available: {{{listed}, }}"
            )

    def stop(self) -> None:
        """Stops looking for new versions, and unloads all."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._wake.set()
        self._config_due.set()
        for thread in self._threads:
            thread.join()
        for versions in self._versions.values():
            versions.want({})
            while versions.step():
                pass

    def _accept(self, config: Any) -> None:
        model_config.check(config, self._config)
        self._config = config  # kept although a label may be refused, as TensorFlow Serving keeps it
        self._labels = self._checked_labels(config)
        self._base_paths = {
            model.name: (model.base_path, model.model_version_policy)
            for model in config.model_config_list.config
        }

    def _checked_labels(self, config: Any) -> dict[str, dict[str, int]]:
        labels: dict[str, dict[str, int]] = {}
        for model in config.model_config_list.config:
            versions = self._versions.get(model.name)
            available = versions.available() if versions else set()
            known = self._labels.get(model.name, {})
            for label, version in model.version_labels.items():
                is_new = known.get(label, version) == version
                if version not in available and not (self._upkeep.labels_for_unavailable and is_new):
                    raise StatusError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of model {model.name}, "
                        "which is not currently available for inference",
                    )
            labels[model.name] = dict(model.version_labels)
        return labels

    def _load_at_start(self) -> None:
        self._look()
        for versions in self._versions.values():
            while versions.step():
                pass
            if not versions.available():
                for version in versions.states():
                    raise UserError(
                        f"version {version.number} of model {versions.name!r} in {version.folder!r} cannot "
                        f"be loaded: {_first_line(version.error)}"
                    )

    def _look(self) -> None:
        """Looks what versions are there, and which of them are wanted."""
        configured = dict(self._base_paths)
        for name in configured.keys() - self._versions.keys():
            self._versions[name] = Versions(name, self._load, self._upkeep.retries)
        for name, versions in self._versions.items():
            if name not in configured:
                versions.want({})
                continue
            base_path, policy = configured[name]
            try:
                folders = version_folders(base_path)
            except tf.errors.OpError as error:
                logger.error("cannot list the versions of %s: %s", name, error.message)
                continue
            versions.want({number: folders[number] for number in model_config.aspired(policy, folders)})

    def _load(self, name: str, version: int, folder: str) -> Servable:
        return Servable(name, version, folder, self._upkeep.batching)

    def _keep_up_to_date(self) -> None:
        while not self._stopping:
            self._look()
            for versions in list(self._versions.values()):
                while not self._stopping and versions.step():
                    with self._changed:
                        self._changed.notify_all()
            with self._changed:
                self._changed.notify_all()
            unloading = any(
                version.state is State.UNLOADING
                for versions in self._versions.values()
                for version in versions.states()
            )
            self._wake.wait(_SHORTEST_WAIT if unloading else self._upkeep.poll_seconds)
            self._wake.clear()

    def _reread_config(self, path: str) -> None:
        while not self._config_due.wait(self._upkeep.config_poll_seconds):
            try:
                config = read_model_config(path)
                if config != self._config:
                    self.reload(config)
            except UserError as error:
                logger.error("%s", error)
            except StatusError as error:
                logger.error("the model configuration is refused: %s", error.message)

    def _is_decided(self, name: str) -> bool:
        versions = self._versions.get(name)
        if versions is None or not versions.states():
            return False
        return bool(versions.available()) or versions.settled()

    def _described_failure(self, name: str) -> str:
        errors = [version for version in self._versions[name].states() if version.error is not None]
        causes = [
            f"{{name: {name} version: {version.number}}} due to error: {_first_line(version.error)}"
            for version in errors
        ]
        return f"{{{', '.join(causes)}}}"


def _first_line(error: StatusError | None) -> str:
    return error.message.partition("\n")[0] if error else "it was withdrawn"
