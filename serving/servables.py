"""The models of a folder, loaded and kept up to date as TensorFlow Serving keeps them.

Every folder MODELS/NAME with integer sub-folders is a model. Its latest version is served. A thread looks for
newer ones; a new version is loaded and warmed before it takes over, so that no request fails meanwhile, and
one that cannot be loaded never takes over.
"""

import dataclasses
import logging
import threading
from typing import Any

import grpc
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from pipeline import storage
from serving.export import EXTRA_ASSETS, WARMUP_FILE, versions
from serving.status import StatusError
from tfrecords_builder.command import UserError

POLL_SECONDS = 1.0  # as TensorFlow Serving's --file_system_poll_wait_seconds

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Servable:
    """One loaded version of a model."""

    name: str
    version: int
    signature_defs: dict[str, meta_graph_pb2.SignatureDef]
    """As stored in `saved_model.pb`, which has more than `tf.saved_model.load` shows."""
    loaded: Any

    @classmethod
    def load(cls, name: str, base: str, version: int) -> "Servable":
        """Loads one version and answers its warm-up requests."""
        folder = storage.join(base, str(version))
        with tf.io.gfile.GFile(storage.join(folder, "saved_model.pb"), "rb") as file:
            saved_model = saved_model_pb2.SavedModel.FromString(file.read())
        signature_defs = dict(saved_model.meta_graphs[0].signature_def)
        servable = cls(name, version, signature_defs, tf.saved_model.load(folder, tags=["serve"]))
        servable._warm_up(storage.join(folder, EXTRA_ASSETS, WARMUP_FILE))
        return servable

    def _warm_up(self, path: str) -> None:
        if not storage.exists(path):
            return
        for serialized in tf.data.TFRecordDataset(path).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(serialized).predict_log.request
            signature = self.loaded.signatures[request.model_spec.signature_name]
            signature(**{name: tf.make_ndarray(value) for name, value in request.inputs.items()})


class Servables:
    """The served models by name.

    Args:
        models: folder of the models; a path or a URL.

    Raises:
        UserError: if there is no model, or one cannot be loaded.
    """

    def __init__(self, models: str) -> None:
        self._models = models
        self._stopping = threading.Event()
        self._failed: dict[tuple[str, int], str] = {}
        self._serving: dict[str, Servable] = {}
        for name in _model_names(models):
            base = storage.join(models, name)
            version = versions(base)[-1]
            try:
                self._serving[name] = Servable.load(name, base, version)
            except Exception as error:
                raise UserError(
                    f"version {version} of model {name!r} in {models!r} cannot be loaded: "
                    f"{_first_line(error)}"
                ) from None
        self._poller = threading.Thread(target=self._poll, daemon=True)
        self._poller.start()

    @property
    def serving(self) -> dict[str, Servable]:
        """The version that answers, of each model."""
        return dict(self._serving)

    def find(self, name: str, version: int | None = None) -> Servable:
        """The servable of a request.

        Raises:
            StatusError: NOT_FOUND, with TensorFlow Serving's words.
        """
        servable = self._serving.get(name)
        if servable is None or version not in (None, servable.version):
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}")
        return servable

    def states(self, name: str, version: int | None = None) -> list[tuple[int, str, str]]:
        """(version, state, error) of the versions of a model, newest first.

        Raises:
            StatusError: NOT_FOUND if there is none.
        """
        servable = self._serving.get(name)
        known = [(servable.version, "AVAILABLE", "")] if servable else []
        known += [(failed, "END", error) for (model, failed), error in self._failed.items() if model == name]
        chosen = sorted((state for state in known if version in (None, state[0])), reverse=True)
        if not chosen:
            what = "any versions" if version is None else f"version {version}"
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"Could not find {what} of model {name}")
        return chosen

    def stop(self) -> None:
        """Stops looking for new versions."""
        self._stopping.set()
        self._poller.join()

    def _poll(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            for name, servable in self.serving.items():
                self._take_over(name, servable)

    def _take_over(self, name: str, servable: Servable) -> None:
        """Loads the newest version that is newer than the one that answers, and lets it answer."""
        base = storage.join(self._models, name)
        for version in reversed(versions(base)):
            if version <= servable.version:
                return
            if (name, version) in self._failed:
                continue
            try:
                self._serving[name] = Servable.load(name, base, version)
            except Exception as error:  # whatever is wrong with it, the old version goes on
                self._failed[name, version] = _first_line(error)
                logger.error("version %d of %s cannot be loaded: %s", version, name, _first_line(error))
                continue
            logger.info("version %d of %s took over", version, name)
            return


def _model_names(models: str) -> list[str]:
    if not tf.io.gfile.isdir(models):
        raise UserError(f"no folder {models!r}: export a run with `python -m serving.export RUN {models}`")
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(models)]
    found = sorted(name for name in names if versions(storage.join(models, name)))
    if not found:
        raise UserError(
            f"{models!r} has no model, that is no NAME/VERSION/saved_model.pb: export a run with "
            f"`python -m serving.export RUN {models}`"
        )
    return found


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
