"""A worker of a search on this machine. `tuning.parallel` starts it as a process of its own.

TensorFlow does not free all memory of a training before its process ends. So where there is no GPU, the
worker loads everything once and forks a process for each trial, which takes a tenth of a second. A process
that has asked for GPUs cannot lend them to one that it forks: there, a worker runs a few trials and is
replaced.
"""

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import sys
from pathlib import Path

from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import EXIT_INTERRUPTED, EXIT_USER_ERROR, run_with
from tfrecords_builder.errors import UserError, describe_file_error
from tuning.settings import SearchConfig

_SIGNALED = 128  # a shell adds it to the number of the signal that ended a process


def work(path: str) -> None:
    """Runs trials until there are no more, and exits.

    Args:
        path: file with the pickled settings of the search.
    """
    config = pickle.loads(Path(path).read_bytes())  # noqa: S301 - the chief of this machine wrote it

    def main(config: SearchConfig) -> int:
        return _search(config, Path(path))

    run_with(main, lambda: config, "a worker of the search", load=startup.load_keras)


def _search(config: SearchConfig, path: Path) -> int:
    """Returns the exit code."""
    from tuning import parallel

    if not _may_fork():
        return _run_trials(config, path, parallel.TRIALS_PER_PROCESS)
    _load_what_trials_use()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(_SIGNALED + number))  # ends the fork, too
    while (code := _run_trial_in_fork(config, path)) == parallel.EXIT_RECYCLED:
        pass
    return code


def _may_fork() -> bool:
    import tensorflow as tf

    has_gpu = any(device.device_type != "CPU" for device in tf.config.list_physical_devices())
    return sys.platform == "linux" and not has_gpu  # on macOS, forked processes may not use its frameworks


def _load_what_trials_use() -> None:
    """Imports modules once, and keeps the collection of garbage from looking at them again and again."""
    import sklearn.metrics  # noqa: F401

    import tuning.architecture_search  # noqa: F401

    gc.collect()
    gc.freeze()


def _run_trial_in_fork(config: SearchConfig, path: Path) -> int:
    """Runs one trial. Neither process outlives the other, and neither outlives the chief.

    Returns:
        The exit code of the process.
    """
    from tuning import parallel

    def main() -> None:
        os.environ[parallel.PARENT] = str(os.getppid())
        with contextlib.suppress(KeyboardInterrupt):  # the worker says it
            sys.exit(_run_trials(config, path, most=1))
        sys.exit(EXIT_INTERRUPTED)

    process = multiprocessing.get_context("fork").Process(target=main)
    process.start()
    try:
        while process.exitcode is None and not parallel.has_lost_parent():
            process.join(parallel.SECONDS_BETWEEN_LOOKS)
    finally:
        process.kill()
        process.join()
    code = process.exitcode or 0
    return code if code >= 0 else _SIGNALED - code


def _run_trials(config: SearchConfig, path: Path, most: int) -> int:
    """Returns the exit code. What ends the whole search is left to the chief, which says it."""
    from tuning import parallel
    from tuning.architecture_search import search

    os.environ[parallel.MOST_TRIALS] = str(most)
    try:
        search(config)
    except parallel.RecycleError:
        return parallel.EXIT_RECYCLED
    except Exception as error:
        line = str(error) if isinstance(error, UserError) else describe_file_error(error)
        if line is None:
            raise
        path.with_name(parallel.ERROR).write_text(line)
        return EXIT_USER_ERROR
    return 0
