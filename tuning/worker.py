"""A worker of a search on this machine. `tuning.parallel` starts it as a process of its own."""

import pickle
from pathlib import Path

from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run_with
from tuning.settings import SearchConfig


def work(path: str) -> None:
    """Runs trials until there are no more, and exits.

    Args:
        path: file with the pickled settings of the search.
    """
    config = pickle.loads(Path(path).read_bytes())  # noqa: S301 - the chief of this machine wrote it
    run_with(_search, lambda: config, "a worker of the search", load=startup.load_keras)


def _search(config: SearchConfig) -> int:
    from tuning.architecture_search import search
    from tuning.parallel import EXIT_RECYCLED, RecycleError

    try:
        search(config)
    except RecycleError:
        return EXIT_RECYCLED
    return 0
