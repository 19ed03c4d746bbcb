"""Reads the model configuration file again and again, and reloads the models when it has changed."""

import logging
import threading

from serving.server.config_files import read_model_config
from serving.server.models import Models
from serving.server.status import StatusError
from tfrecords_builder.errors import UserError

logger = logging.getLogger(__name__)


class ConfigWatcher:
    """Watches the model configuration file in a thread.

    A file that cannot be read, and a configuration that is refused, are logged. The models then stay as they
    are, and the next reading tries again: a label may name a version that is available by then.

    Args:
        path: the file; a path or a URL.
        poll_seconds: seconds between two readings.
        models: the models that the file configures.
    """

    def __init__(self, path: str, poll_seconds: float, models: Models) -> None:
        self._path = path
        self._poll_seconds = poll_seconds
        self._models = models
        self._loaded = models.config  # the last configuration that was not refused
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="config", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Call `Models.stop` first: it ends a reload that waits for a new model."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._poll_seconds):
            try:
                config = read_model_config(self._path)
                if config != self._loaded or config != self._models.config:
                    self._models.reload(config)
                    self._loaded = config
            except UserError as error:
                logger.error("%s", error)
            except StatusError as error:
                logger.error("the model configuration is refused: %s", error.message)
