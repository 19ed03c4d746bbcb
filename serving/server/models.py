"""All models of a server: which versions requests find, and how a new configuration replaces the old one.

Three kinds of threads meet here:

- Threads of requests, of both APIs, call `lend` and `versions`. They change nothing in this class.
- A thread calls `reload`, because of a HandleReloadConfigRequest or because the configuration file has
  changed. It replaces `_config`, `_labels` and `_sources`. `_one_reload` lets one reload begin only after the
  one before has ended, that is, when its new models are available or have failed.
- The keeper thread is the owner of all `VersionKeeper`s: it alone tells them which versions are wanted, and
  loads and unloads these. It replaces `_keepers` and `_sources_seen_by_keeper`. The constructor starts it
  last and `stop` ends it first; before and after, the thread that runs the constructor or `stop` is the
  owner.

`_changed` is the condition with which these threads wake each other: the keeper thread waits for new sources,
or for the next look at the folders; `reload` waits for the keeper thread. Its lock is held to replace a
field. It is not needed to read one, because a field is replaced as a whole and what it holds never changes.
"""

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.config import model_server_config_pb2

from serving.names import UNKNOWN_VERSION_LABEL
from serving.server import model_config
from serving.server.batching import Batching
from serving.server.servable import Servable
from serving.server.status import StatusError, invalid_argument
from serving.server.version_keeper import Retries, Version, VersionKeeper
from serving.version_folders import version_folders
from tfrecords_builder.errors import UserError

_UNLOADING_POLL_SECONDS = 0.05
"""Seconds between two looks whether a version that is no longer wanted has answered its requests."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LoadingOptions:
    """How models are loaded and kept up to date."""

    poll_seconds: float = 1.0
    """Seconds between two looks for new versions."""
    retries: Retries = Retries(max_number=5, interval=60.0)  # noqa: RUF009 - frozen
    """How often a version that appears while the server runs is tried again if it cannot be loaded. When the
    server starts, the first failure ends it."""
    labels_for_unavailable: bool = False
    """Whether a new label may name a version that is not available yet."""
    batching: Batching | None = None
    """How requests that come at the same time are joined; None to run each by itself."""


class Models:
    """The models of a server, by name.

    Args:
        config: the first ModelServerConfig.
        options: how models are loaded and kept up to date.

    Raises:
        UserError: if the configuration is refused, or if a version cannot be loaded.
    """

    def __init__(self, config: Any, options: LoadingOptions) -> None:
        self._options = options
        self._config: Any = model_server_config_pb2.ModelServerConfig()
        self._labels: model_config.Labels = {}
        self._sources: Mapping[str, model_config.Source] = {}
        self._keepers: Mapping[str, VersionKeeper] = {}
        self._sources_seen_by_keeper: Mapping[str, model_config.Source] | None = None
        self._unlisted: dict[str, str] = {}  # why the versions of a model could not be listed, by model
        self._reports_at_start: list[str] | None = []  # None once the first versions are loaded
        self._stopping = False
        self._one_reload = threading.Lock()
        self._changed = threading.Condition()
        try:
            self._replace_config(config)
        except StatusError as error:
            raise UserError(f"the model configuration is refused: {error.message}") from None
        self._load_first_versions()
        self._keeper_thread = threading.Thread(target=self._keep_up_to_date, name="models", daemon=True)
        self._keeper_thread.start()

    @property
    def config(self) -> Any:
        """The ModelServerConfig that was accepted last."""
        return self._config

    def available(self) -> dict[str, set[int]]:
        """The numbers of the versions that answer, by model."""
        return {name: keeper.available() for name, keeper in self._keepers.items()}

    @contextlib.contextmanager
    def lend(self, name: str, version: int | None = None, label: str | None = None) -> Iterator[Servable]:
        """Lends the version that a request names. It is not unloaded before the block ends.

        Args:
            name: name of the model.
            version: number of the version; None for the highest that is available.
            label: label of the version, instead of its number.

        Raises:
            StatusError: INVALID_ARGUMENT for an unknown label, NOT_FOUND for an unknown model or version.
        """
        if label is not None:
            version = self._labels.get(name, {}).get(label)
            if version is None:
                raise invalid_argument(f"{UNKNOWN_VERSION_LABEL}: {label}")
        keeper = self._keepers.get(name)
        with keeper.lend(version) if keeper else contextlib.nullcontext() as servable:
            if servable is None:
                asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
                raise StatusError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}")
            yield servable

    def versions(self, name: str, version: int | None = None) -> list[Version]:
        """The versions of a model, the highest number first.

        Args:
            name: name of the model.
            version: number of the only version that is asked for; None for all.

        Raises:
            StatusError: NOT_FOUND if there is none.
        """
        keeper = self._keepers.get(name)
        known = keeper.versions() if keeper else []
        asked = [one for one in known if version is None or one.number == version]
        if not asked:
            what = "any versions" if version is None else f"version {version}"
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"Could not find {what} of model {name}")
        return asked

    def reload(self, config: Any) -> None:
        """Replaces the configuration, and waits until every model that is new in it is available.

        Args:
            config: a ModelServerConfig.

        Raises:
            StatusError: INVALID_ARGUMENT or FAILED_PRECONDITION if the configuration is refused, UNKNOWN if a
                new model cannot be loaded, UNAVAILABLE if the server stops meanwhile.
        """
        with self._one_reload:
            before = self._sources.keys()
            self._replace_config(config)
            new = sorted(self._sources.keys() - before)
            if new:
                self._wait_until_loading_has_finished(new)
                self._refuse_unavailable(new)

    def stop(self) -> None:
        """Stops looking for new versions, and unloads all. A `reload` that waits fails."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._keeper_thread.join()
        self._unload_all()

    def _replace_config(self, config: Any) -> None:
        model_config.check(config, self._config)
        with self._changed:
            self._config = config  # TensorFlow Serving too keeps it if it then refuses the labels
            model_config.check_labels(
                config, self._labels, self.available(), self._options.labels_for_unavailable
            )
            self._labels = model_config.labels(config)
            self._sources = model_config.sources(config)
            self._changed.notify_all()

    def _wait_until_loading_has_finished(self, new: list[str]) -> None:
        sources = self._sources

        def has_finished() -> bool:
            are_seen = self._sources_seen_by_keeper is sources
            return are_seen and all(_has_finished_loading(self._keepers[name]) for name in new)

        with self._changed:
            self._changed.wait_for(lambda: self._stopping or has_finished())
            if self._stopping:
                raise StatusError(grpc.StatusCode.UNAVAILABLE, "the server is stopping")

    def _refuse_unavailable(self, new: list[str]) -> None:
        failed = [name for name in new if not self._keepers[name].available()]
        if failed:
            listed = ", ".join(_described_failure(self._keepers[name]) for name in failed)
            raise StatusError(
                grpc.StatusCode.UNKNOWN, f"{len(failed)} model(s) did not become available: {{{listed}, }}"
            )

    def _load_first_versions(self) -> None:
        self._apply_sources()
        for keeper in self._keepers.values():
            _take_all_steps(keeper)
            if keeper.versions() and not keeper.available():
                failed = keeper.versions()[0]
                self._unload_all()
                raise UserError(
                    f"version {failed.number} of model {keeper.model!r} in {failed.folder!r} cannot be "
                    f"loaded: {_first_line(failed.error)}"
                )
        reports, self._reports_at_start = self._reports_at_start or [], None
        for line in reports:
            logger.error("%s", line)

    def _report(self, line: str) -> None:
        """Logs a failure; when the server starts, only if another version can be served."""
        if self._reports_at_start is None:
            logger.error("%s", line)
        else:
            self._reports_at_start.append(line)

    def _unload_all(self) -> None:
        for keeper in self._keepers.values():
            keeper.want({})
            _take_all_steps(keeper)

    def _keep_up_to_date(self) -> None:
        """What the keeper thread does until the server stops."""
        while not self._stopping:
            self._apply_sources()
            for keeper in self._keepers.values():
                while not self._stopping and keeper.step():
                    with self._changed:
                        self._changed.notify_all()
            is_unloading = any(keeper.unloading() for keeper in self._keepers.values())
            seconds = _UNLOADING_POLL_SECONDS if is_unloading else self._options.poll_seconds
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopping or self._sources_seen_by_keeper is not self._sources,
                    timeout=seconds,
                )

    def _apply_sources(self) -> None:
        """Looks which versions there are, and tells every keeper which of them are wanted."""
        sources = self._sources
        new = {
            name: VersionKeeper(name, self._load, self._options.retries, self._report)
            for name in sources
            if name not in self._keepers
        }
        keepers = {**self._keepers, **new}
        for name, keeper in keepers.items():
            if name not in sources:
                keeper.want({})
                continue
            folders = self._listed_versions(name, sources[name].base_path)
            if folders is None:
                continue
            wanted = model_config.wanted_versions(sources[name].policy, folders)
            keeper.want({number: folders[number] for number in wanted})
        with self._changed:
            self._keepers = keepers
            self._sources_seen_by_keeper = sources
            self._changed.notify_all()

    def _listed_versions(self, name: str, base_path: str) -> dict[int, str] | None:
        """The folders of a model's versions; None if they cannot be listed, which is logged once."""
        try:
            folders = version_folders(base_path)
        except tf.errors.OpError as error:
            if self._unlisted.get(name) != error.message:
                logger.error("the versions of model %s cannot be listed: %s", name, error.message)
            self._unlisted[name] = error.message
            return None
        self._unlisted.pop(name, None)
        return folders

    def _load(self, name: str, version: int, folder: str) -> Servable:
        return Servable(name, version, folder, self._options.batching)


def _take_all_steps(keeper: VersionKeeper) -> None:
    while keeper.step():
        pass


def _has_finished_loading(keeper: VersionKeeper) -> bool:
    """Whether a new model is available, or none of its versions could be loaded."""
    if not keeper.versions():  # there is no version yet
        return False
    return bool(keeper.available()) or keeper.has_finished_loading()


def _described_failure(keeper: VersionKeeper) -> str:
    causes = [
        f"{{name: {keeper.model} version: {version.number}}} due to error: {_first_line(version.error)}"
        for version in keeper.versions()
        if version.error is not None
    ]
    return f"{{{', '.join(causes)}}}"


def _first_line(error: StatusError | None) -> str:
    return error.message.partition("\n")[0] if error else "it was withdrawn"
