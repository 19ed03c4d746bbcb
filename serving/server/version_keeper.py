"""The versions of one model: which are wanted, which answer, and how one takes over from another.

The rules are TensorFlow Serving's (docs/serving-contract.md, section 10): the highest wanted version is
loaded first; a version that is no longer wanted is unloaded only when a wanted version is available, or when
none is wanted; and it is unloaded only after it has answered the requests that it has begun.

The life of a version:

    START ─> LOADING ─> AVAILABLE ─> UNLOADING ─> END
       └────────┴─────────────────────────────────^

- START: it is wanted, and no try to load it has begun.
- LOADING: it is being loaded, or it waits for the next try after a try that failed.
- AVAILABLE: requests find it.
- UNLOADING: no request finds it, and it answers the requests that it has begun.
- END: it was unloaded; or its last try to load it failed, and its error says why; or it was no longer wanted
  before it could be loaded. It stays listed. If it is wanted again later, it begins anew in START.

Who may change what:

- The owner is the one thread that calls `want` and `step`. `Models` says which thread that is. Only the owner
  changes which versions there are and are wanted, and every field of a version except `running_requests`.
- Threads of requests call `lend`, which changes `running_requests`.
- Any thread may call the other methods, which change nothing.
- Everybody holds `_lock` to read or change any of this. Nobody holds it while a version is loaded or
  unloaded, so requests never wait for that.
"""

import contextlib
import dataclasses
import enum
import logging
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import tensorflow as tf

from serving.server.servable import Servable
from serving.server.status import StatusError, from_tensorflow

logger = logging.getLogger(__name__)

LoadServable = Callable[[str, int, str], Servable]
"""Loads a version, given the name of its model, its number and its folder."""


class State(enum.Enum):
    """State of a version. The numbers are those of GetModelStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class Retries:
    """How often and how fast a version that cannot be loaded is tried again."""

    max_number: int
    """Maximum number of tries after the first one has failed."""
    interval: float
    """Seconds between two tries."""


@dataclasses.dataclass
class Version:
    """One version, from the moment that it is wanted."""

    number: int
    folder: str
    state: State = State.START
    error: StatusError | None = None
    """Why the last try to load it failed."""
    failed_tries: int = 0
    next_try: float = 0.0
    """Moment of `time.monotonic()` before which it is not tried again, in seconds."""
    servable: Servable | None = None
    """The loaded version, in the states AVAILABLE and UNLOADING."""
    running_requests: int = 0
    """Number of requests that it is answering."""


class VersionKeeper:
    """Loads and unloads the versions of one model, and lends them to requests.

    Args:
        model: name of the model.
        load: loads a version; whatever it raises is the version's error.
        retries: of versions that cannot be loaded.
        report: gets a line about each try that failed; by default it is logged.
    """

    def __init__(
        self, model: str, load: LoadServable, retries: Retries, report: Callable[[str], None] | None = None
    ) -> None:
        self.model = model
        self._report = report or logger.error
        self._load = load
        self._retries = retries
        self._lock = threading.Lock()
        self._versions: dict[int, Version] = {}
        self._wanted: dict[int, str] = {}

    def want(self, folders: dict[int, str]) -> None:
        """Says which versions are wanted from now on. Only the owner calls it.

        Args:
            folders: folder of each wanted version by its number.
        """
        with self._lock:
            for number, folder in folders.items():
                known = self._versions.get(number)
                is_wanted_again = known and known.state is State.END and number not in self._wanted
                if known is None or is_wanted_again:
                    self._versions[number] = Version(number, folder)
            self._wanted = dict(folders)

    def step(self) -> bool:
        """Loads or unloads one version if one is due. Only the owner calls it.

        Returns:
            Whether a version was due. If so, the next one may be due too.
        """
        version = self._begin_to_load()
        if version is not None:
            self._try_to_load(version)
            return True
        self._retire_unwanted()
        version = self._next_to_unload()
        if version is not None:
            self._unload(version)
            return True
        return False

    @contextlib.contextmanager
    def lend(self, number: int | None) -> Iterator[Servable | None]:
        """Lends an available version to a request. It is not unloaded before the block ends.

        Args:
            number: number of the version; None for the highest that is available.

        Yields:
            The loaded version; None if there is no such version that is available.
        """
        with self._lock:
            available = [one for one in self._versions.values() if one.state is State.AVAILABLE]
            matching = [one for one in available if number is None or one.number == number]
            version = max(matching, key=lambda one: one.number, default=None)
            if version is not None:
                version.running_requests += 1
        if version is None:
            yield None
            return
        try:
            yield version.servable
        finally:
            with self._lock:
                version.running_requests -= 1

    def versions(self) -> list[Version]:
        """Copies of all versions that were ever wanted, the highest number first."""
        with self._lock:
            copies = [dataclasses.replace(version) for version in self._versions.values()]
        return sorted(copies, key=lambda version: -version.number)

    def available(self) -> set[int]:
        """The numbers of the versions that requests find."""
        return self._in_state(State.AVAILABLE)

    def unloading(self) -> set[int]:
        """The numbers of the versions that are unloaded once they have answered their requests."""
        return self._in_state(State.UNLOADING)

    def has_finished_loading(self) -> bool:
        """Whether every wanted version is available, or its last try to load it has failed."""
        with self._lock:
            wanted = [self._versions[number] for number in self._wanted]
            return all(version.state in (State.AVAILABLE, State.END) for version in wanted)

    def _in_state(self, state: State) -> set[int]:
        with self._lock:
            return {version.number for version in self._versions.values() if version.state is state}

    def _begin_to_load(self) -> Version | None:
        """Finds the highest wanted version whose next try is due, and sets its state to LOADING.

        Returns:
            The version; None if no try is due.
        """
        now = time.monotonic()
        with self._lock:
            due = [
                version
                for version in self._versions.values()
                if version.state in (State.START, State.LOADING)
                and version.next_try <= now
                and version.number in self._wanted
            ]
            version = max(due, key=lambda version: version.number, default=None)
            if version is not None:
                version.state = State.LOADING
            return version

    def _try_to_load(self, version: Version) -> None:
        """Loads a version: its state becomes AVAILABLE, or END if this was its last try and it fails."""
        try:
            servable = self._load(self.model, version.number, version.folder)
        except Exception as error:  # whatever is wrong with this version, the server goes on
            self._record_failure(version, _as_status(error))
            return
        with self._lock:
            version.servable, version.state, version.error = servable, State.AVAILABLE, None
        logger.info("version %d of model %s is available", version.number, self.model)

    def _record_failure(self, version: Version, error: StatusError) -> None:
        with self._lock:
            version.failed_tries += 1
            version.error = error
            version.next_try = time.monotonic() + self._retries.interval
            if version.failed_tries > self._retries.max_number:
                version.state = State.END
        reason = error.message.partition("\n")[0]
        tries = f"try {version.failed_tries} of {self._retries.max_number + 1}"
        self._report(f"version {version.number} of model {self.model} cannot be loaded ({tries}): {reason}")

    def _retire_unwanted(self) -> None:
        """Sets the state of unwanted versions: END if they are not loaded, else UNLOADING."""
        with self._lock:
            is_replaced = not self._wanted or any(
                self._versions[number].state is State.AVAILABLE for number in self._wanted
            )
            for version in self._versions.values():
                if version.number in self._wanted:
                    continue
                if version.state in (State.START, State.LOADING):
                    version.state = State.END
                elif version.state is State.AVAILABLE and is_replaced:
                    version.state = State.UNLOADING

    def _next_to_unload(self) -> Version | None:
        """A version that has answered the requests that it had begun."""
        with self._lock:
            unloading = (one for one in self._versions.values() if one.state is State.UNLOADING)
            return next((one for one in unloading if not one.running_requests), None)

    def _unload(self, version: Version) -> None:
        """Unloads a version: its state becomes END, or START if it is wanted again meanwhile."""
        if version.servable is not None:
            version.servable.close()
        with self._lock:
            version.servable, version.state = None, State.END
            if version.number in self._wanted:
                self._versions[version.number] = Version(version.number, self._wanted[version.number])
        logger.info("version %d of model %s is unloaded", version.number, self.model)


def _as_status(error: Exception) -> StatusError:
    if isinstance(error, StatusError):
        return error
    if isinstance(error, tf.errors.OpError):
        return from_tensorflow(error)
    return StatusError(grpc.StatusCode.UNKNOWN, str(error).strip() or type(error).__name__)
