"""Trials in several processes, with KerasTuner's chief and workers.

The chief chooses the trials and answers the workers over gRPC; each worker trains one trial after the other.
On several machines, KerasTuner's own environment variables say which process is which
(https://keras.io/keras_tuner/guides/distributed_tuning/). On one machine, `--workers` starts them.

A worker that was killed asks for its trial again when it is started again, and continues it.
"""

import contextlib
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import grpc
import keras
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.distribute.utils import has_chief_oracle, is_chief_oracle

from tfrecords_builder import storage
from tfrecords_builder.errors import UserError
from tuning.limits import Clock
from tuning.settings import SearchConfig

Role = Literal["alone", "chief", "worker"]

PARENT = "TUNING_PARENT_PROCESS"
"""Environment variable with the process that started a local worker. The worker ends when that has ended."""
MOST_TRIALS = "TUNING_MOST_TRIALS"
"""Environment variable with the number of trials after which a local worker ends."""
TRIALS_PER_PROCESS = 4
"""A local worker with GPUs runs so many trials. A new process takes 6 to 9 seconds to start, but of each
training about 30 MiB of memory are left in the old one."""
ERROR = "error"
"""Name of the file, beside that of the settings, in which a local worker says what ends the search."""
EXIT_RECYCLED = 75
"""Exit code of a local worker that has run enough trials: another one goes on."""
MOST_RESTARTS = 20
"""So often are local workers started again before the search gives up."""
SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_END = 10.0
_SECONDS_TO_WAIT_FOR_CHIEF = 600.0
SECONDS_BETWEEN_REMINDERS = 1800.0

logger = logging.getLogger(__name__)


def role() -> Role:
    """What this process is, by the environment variables of KerasTuner."""
    try:
        if not has_chief_oracle():
            return "alone"
    except RuntimeError as error:
        raise UserError(str(error)) from None
    return "chief" if is_chief_oracle() else "worker"


class RecycleError(Exception):
    """A local worker has run enough trials."""


def has_run_enough(trials: int) -> bool:
    """Whether this process is a local worker that is to be replaced after so many trials."""
    return trials >= int(os.environ.get(MOST_TRIALS, sys.maxsize))


def has_lost_parent() -> bool:
    """Whether the process that started this local worker has ended."""
    return os.getppid() != int(os.environ[PARENT])


def end_with_parent() -> None:
    """Lets a local worker end when its chief has ended: the next chief gives its trial to another worker."""
    if PARENT not in os.environ:
        return

    def watch() -> None:
        while not has_lost_parent():
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def wait_for_chief(path: str) -> None:
    """Waits in a worker until the chief has written a file.

    Raises:
        UserError: if it does not come.
    """
    end = time.monotonic() + _SECONDS_TO_WAIT_FOR_CHIEF
    while not storage.exists(path):
        if time.monotonic() > end:
            raise UserError(f"no {path!r}: start the chief first, with the same RECORDS, RUN and options")
        time.sleep(SECONDS_BETWEEN_LOOKS)


def serve(oracle: object, clock: Clock) -> None:
    """Answers the workers of other machines until all trials have ended or the time is spent."""
    address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    reminder = _Reminder(oracle)
    with _serving(oracle, address) as (servicer, _):
        logger.info("waiting for workers at %s", address)
        while not (servicer.stop_triggered and _nobody_works(oracle)):
            oracle._check_consecutive_failures()  # type: ignore[attr-defined]
            reminder.look(time.monotonic())
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if clock.seconds_left == 0 and _nobody_works(oracle):
                return


def run_local_workers(oracle: object, config: SearchConfig) -> None:
    """Starts workers on this machine, answers them, and starts those again that are killed.

    Args:
        oracle: chooses the trials.
        config: the settings of the search, with the number of workers.

    Raises:
        UserError: if workers end too often, too many trials in a row fail, or a worker meets what ends the
            whole search, such as a full disk.
    """
    workers, restarts = config.workers, 0
    with (
        _command(config) as command,
        _serving(oracle, "127.0.0.1:0") as (_, port),
        contextlib.ExitStack() as stack,
    ):
        running = {
            number: stack.enter_context(_worker(command, number, workers, port)) for number in range(workers)
        }
        while running:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            oracle._check_consecutive_failures()  # type: ignore[attr-defined]
            for number, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[number]
                if process.returncode == 0:
                    continue
                error = Path(command[-1]).with_name(ERROR)
                if error.exists():
                    raise UserError(error.read_text())
                if process.returncode != EXIT_RECYCLED:
                    restarts += 1
                    _say_restart(number, process.returncode, restarts)
                running[number] = stack.enter_context(_worker(command, number, workers, port))


@contextlib.contextmanager
def _serving(oracle: object, address: str) -> Iterator[tuple[OracleServicer, int]]:
    """Answers workers within the block; lends the servicer and its port."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    servicer = OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        raise UserError(
            f"the chief cannot listen at {address}: the port is in use, or it is another machine's"
        ) from None
    server.start()
    try:
        yield servicer, port
    finally:
        server.stop(None).wait()


@contextlib.contextmanager
def _command(config: SearchConfig) -> Iterator[list[str]]:
    """Lends the command line of a worker for a search with these settings."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "settings"
        path.write_bytes(pickle.dumps(config))
        code = "import sys; from tuning.worker import work; work(sys.argv[1])"
        yield [sys.executable, "-c", code, str(path)]


@contextlib.contextmanager
def _worker(command: list[str], number: int, workers: int, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process. It is ended with the block."""
    environment = os.environ | {
        "KERASTUNER_TUNER_ID": f"worker{number}",
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(port),
        PARENT: str(os.getpid()),
    }
    # JAX refuses to list devices of a kind that is not there.
    gpus = sum("gpu" in str(device).lower() for device in keras.distribution.list_devices())
    if gpus > 1:
        environment["CUDA_VISIBLE_DEVICES"] = str(number % gpus)
    if workers > 1:
        environment["TERM"] = "dumb"  # bars of several processes would be drawn over one another
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603
    _share_cores(process.pid, number, workers)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _share_cores(process: int, number: int, workers: int) -> None:
    """Gives a worker its share of the cores; TensorFlow starts as many threads as it may use cores."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    share = cores[number::workers] or [cores[number % len(cores)]]
    os.sched_setaffinity(process, share)


def _say_restart(number: int, code: int, restarts: int) -> None:
    if restarts > MOST_RESTARTS:
        raise UserError(f"the workers of the search ended {restarts} times: see the lines above")
    logger.warning("worker %d ended with code %d and is started again", number, code)


class _Reminder:
    """Says which workers a chief waits for when none of them has begun or ended a trial for long.

    A worker on another machine may be lost. Nobody but the user can start it again.
    """

    def __init__(self, oracle: object) -> None:
        self._oracle = oracle
        self._trials: dict[str, str] = {}
        self._since: float | None = None

    def look(self, now: float) -> None:
        """Compares with the last look; `now` is in seconds."""
        ongoing = self._oracle.ongoing_trials  # type: ignore[attr-defined]
        trials = {worker: trial.trial_id for worker, trial in ongoing.items()}
        if self._since is None or trials != self._trials:
            self._trials, self._since = trials, now
        elif trials and now - self._since >= SECONDS_BETWEEN_REMINDERS:
            self._since = now
            logger.warning(
                "no trial has ended for %.0f min; still under way: %s. If a worker is lost, start it again "
                "with its KERASTUNER_TUNER_ID, and it goes on; or stop this command and give it again with "
                "--finish",
                SECONDS_BETWEEN_REMINDERS / 60,
                ", ".join(f"trial {trial} of {worker}" for worker, trial in trials.items()),
            )


def _nobody_works(oracle: object) -> bool:
    return not oracle.ongoing_trials  # type: ignore[attr-defined]
