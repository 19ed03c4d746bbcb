"""A worker of a search on this machine. `tuning.parallel` starts it as a process of its own."""

import pickle
from pathlib import Path

from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import EXIT_USER_ERROR, run_with
from tfrecords_builder.errors import UserError, describe_file_error
from tuning.settings import SearchConfig


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
    """Returns the exit code. What ends the whole search is left to the chief, which says it."""
    from tuning.architecture_search import search
    from tuning.parallel import ERROR, EXIT_RECYCLED, RecycleError

    try:
        search(config)
    except RecycleError:
        return EXIT_RECYCLED
    except Exception as error:
        line = str(error) if isinstance(error, UserError) else describe_file_error(error)
        if line is None:
            raise
        path.with_name(ERROR).write_text(line)
        return EXIT_USER_ERROR
    return 0
