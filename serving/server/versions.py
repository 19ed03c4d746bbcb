"""The versions of one model: which are wanted, which answer, and how one takes over from another.

As TensorFlow Serving's availability-preserving policy: the highest wanted version is loaded first, an old one
goes only when a wanted one answers, and it goes only when its last request is answered.
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


class State(enum.Enum):
    """Of a version; the values are those of GetModelStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class Retries:
    """What is done about a version that cannot be loaded."""

    most: int
    interval: float
    """Between two tries, in seconds."""


@dataclasses.dataclass
class Version:
    """One version, from the moment it is wanted; it stays listed when it is gone."""

    number: int
    folder: str
    state: State = State.START
    error: StatusError | None = None
    tries: int = 0
    next_try: float = 0.0  # time.monotonic()
    servable: Servable | None = None
    running: int = 0
    """Requests that it is answering."""


class Versions:
    """All versions of one model that were ever wanted.

    `step` changes their states and is called by one thread; everything else may be called by any.
    """

    def __init__(self, name: str, load: LoadServable, retries: Retries) -> None:
        self.name = name
        self._load = load
        self._retries = retries
        self._lock = threading.Lock()
        self._versions: dict[int, Version] = {}
        self._wanted: set[int] = set()

    @contextlib.contextmanager
    def answering(self, number: int | None) -> Iterator[Servable | None]:
        """Lends the version of that number (None: the highest) that answers, and keeps it until returned."""
        with self._lock:
            ready = [v for v in self._versions.values() if v.state is State.AVAILABLE]
            chosen = max(
                (v for v in ready if number in (None, v.number)), key=lambda v: v.number, default=None
            )
            if chosen is not None:
                chosen.running += 1
        if chosen is None:
            yield None
            return
        try:
            yield chosen.servable
        finally:
            with self._lock:
                chosen.running -= 1

    def states(self) -> list[Version]:
        """Copies of all versions, newest first."""
        with self._lock:
            copies = [dataclasses.replace(version) for version in self._versions.values()]
        return sorted(copies, key=lambda version: -version.number)

    def available(self) -> set[int]:
        """The numbers of those that answer."""
        return {version.number for version in self.states() if version.state is State.AVAILABLE}

    def want(self, folders: dict[int, str]) -> None:
        """Says which versions are wanted, by number; one that failed is tried anew after it was not."""
        with self._lock:
            for number, folder in folders.items():
                known = self._versions.get(number)
                came_back = known is not None and known.state is State.END and number not in self._wanted
                if known is None or came_back:
                    self._versions[number] = Version(number, folder)
            self._wanted = set(folders)

    def step(self) -> bool:
        """Does the next thing that is due, if any; returns whether there was one."""
        version = self._to_load()
        if version is not None:
            self._try_to_load(version)
            return True
        version = self._to_unload()
        if version is not None:
            self._unload(version)
            return True
        return False

    def settled(self) -> bool:
        """Whether every wanted version has been loaded or given up."""
        with self._lock:
            return all(
                self._versions[number].state in (State.AVAILABLE, State.END) for number in self._wanted
            )

    def _to_load(self) -> Version | None:
        now = time.monotonic()
        with self._lock:
            due = [
                version
                for version in self._versions.values()
                if version.state in (State.START, State.LOADING)
                and version.next_try <= now
                and version.number in self._wanted
            ]
            chosen = max(due, key=lambda version: version.number, default=None)
            if chosen is not None:
                chosen.state = State.LOADING
            return chosen

    def _try_to_load(self, version: Version) -> None:
        try:
            servable = self._load(self.name, version.number, version.folder)
        except Exception as error:  # whatever is wrong with it, the others go on
            self._failed(version, _as_status(error))
            return
        with self._lock:
            version.servable, version.state, version.error = servable, State.AVAILABLE, None
        logger.info("version %d of %s took over", version.number, self.name)

    def _failed(self, version: Version, error: StatusError) -> None:
        with self._lock:
            version.tries += 1
            version.error = error
            version.next_try = time.monotonic() + self._retries.interval
            given_up = version.tries > self._retries.most
            if given_up:
                version.state = State.END
        logger.error(
            "version %d of %s cannot be loaded%s: %s",
            version.number,
            self.name,
            "" if given_up else f", tried again in {self._retries.interval:.0f} s",
            error.message.partition("\n")[0],
        )

    def _to_unload(self) -> Version | None:
        with self._lock:
            for version in self._versions.values():
                if version.number not in self._wanted and version.state in (State.START, State.LOADING):
                    version.state = State.END
            replaced = not self._wanted or any(
                self._versions[number].state is State.AVAILABLE for number in self._wanted
            )
            for version in self._versions.values():
                unwanted = version.state is State.AVAILABLE and version.number not in self._wanted
                if unwanted and replaced:
                    version.state = State.UNLOADING  # no request finds it any more
            idle = (v for v in self._versions.values() if v.state is State.UNLOADING and not v.running)
            return next(idle, None)

    def _unload(self, version: Version) -> None:
        if version.servable is not None:
            version.servable.close()
        with self._lock:
            version.servable, version.state = None, State.END
        logger.info("version %d of %s was unloaded", version.number, self.name)


def _as_status(error: Exception) -> StatusError:
    if isinstance(error, StatusError):
        return error
    if isinstance(error, tf.errors.OpError):
        return from_tensorflow(error)
    return StatusError(grpc.StatusCode.UNKNOWN, str(error).strip() or type(error).__name__)
