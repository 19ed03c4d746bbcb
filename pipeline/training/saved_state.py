"""The saved state of a training, in `RUN/checkpoint/`: from it, a training that was killed continues.

A kill at any moment leaves a state that can be loaded, because `latest.json` is replaced in a single rename
and names the file of the weights that belong to it. To save a state is to

1. write the weights under a new name, beside those that `latest.json` still names,
2. replace `latest.json`, which then names the new weights,
3. remove the weights that it named before.

A kill before the second step leaves the state before, with its weights; a kill after it leaves the new state.
Weights that `latest.json` does not name may be left over; they are removed when the training continues.
"""

import dataclasses
import json
from typing import Any

import keras
import numpy as np

from pipeline import runs
from pipeline.training import history
from pipeline.training.history import Row
from tfrecords_builder import continuing, ownership, storage
from tfrecords_builder.errors import UserError, first_line

STATE = "latest.json"


@dataclasses.dataclass(frozen=True)
class Position:
    """How far a training has come."""

    epoch: int = 0
    """Number of epochs that are completed."""
    step: int = 0
    """Number of completed steps of the epoch that follows them."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is saved of a training besides its weights, its optimizer and its random numbers."""

    history: list[Row] = dataclasses.field(default_factory=list)
    """The metrics of each completed epoch."""
    step: int = 0
    """Number of completed steps of the epoch that follows them."""
    metrics: list[Any] = dataclasses.field(default_factory=list)
    """Values of the metrics' variables after these steps; empty if there are none."""
    seconds: float = 0.0
    """Seconds that these steps took."""

    @property
    def position(self) -> Position:
        """How far the training has come."""
        return Position(len(self.history), self.step)


def save(run: str, model: keras.Model, progress: Progress) -> None:
    """Saves the state of a training, and removes the one before.

    Args:
        run: the run folder, a path or a URL.
        model: the compiled model that is trained.
        progress: how far it has come.
    """
    folder = storage.join(run, runs.CHECKPOINT)
    weights = f"epoch-{len(progress.history):04d}-step-{progress.step:08d}.weights.h5"
    storage.write_with(storage.join(folder, weights), model.save_weights)
    random_states = values(_random_states(model))
    state = {"weights": weights, "random_states": random_states} | dataclasses.asdict(progress)
    storage.write(storage.join(folder, STATE), json.dumps(state))
    _remove_all_but(folder, weights)


def restore(run: str, model: keras.Model) -> Progress:
    """Loads the saved state of a training, if there is one, into the compiled `model`.

    Returns:
        How far the training has come.

    Raises:
        UserError: if the state is damaged.
    """
    if not exists(run):
        return Progress()
    state = continuing.read_json(_path(run))
    if not model.optimizer.built:  # on several devices. Evaluating a batch makes the metrics' variables
        model.optimizer.build(model.trainable_variables)
        model.test_on_batch([np.zeros((1, *tensor.shape[1:])) for tensor in model.inputs], np.zeros((1,)))
    _load_weights(model, storage.join(run, runs.CHECKPOINT, state["weights"]))
    assign(_random_states(model), state["random_states"])
    _remove_all_but(storage.join(run, runs.CHECKPOINT), state["weights"])
    return Progress(**{field.name: state[field.name] for field in dataclasses.fields(Progress)})


def exists(run: str) -> bool:
    """Whether a run folder has a saved state. Earlier versions removed it when the training was finished."""
    return storage.exists(_path(run))


def stored_history(run: str) -> list[Row]:
    """The metrics of each epoch that was completed in a run folder; empty if there is none."""
    if exists(run):
        return list(continuing.read_json(_path(run))["history"])
    return history.read(run)  # of a run that an earlier version finished


def values(variables: list[keras.Variable]) -> list[Any]:
    """The values of variables, as JSON can hold them."""
    return [keras.ops.convert_to_numpy(variable).tolist() for variable in variables]


def assign(variables: list[keras.Variable], stored: list[Any]) -> None:
    """Gives variables the values that `values` returned."""
    for variable, value in zip(variables, stored, strict=True):
        variable.assign(value)


def _path(run: str) -> str:
    return storage.join(run, runs.CHECKPOINT, STATE)


def _remove_all_but(folder: str, weights: str) -> None:
    """Removes the weights of other states, and what a killed process has not finished."""
    for name, _ in list(storage.entries(folder)):
        if name not in {weights, STATE} and ownership.is_owned(folder, name, runs.CHECKPOINT_FILES):
            storage.remove(storage.join(folder, name))


def _load_weights(model: keras.Model, path: str) -> None:
    try:
        storage.read_with(path, model.load_weights)
    except (OSError, ValueError, KeyError) as error:  # what h5py and Keras raise for a file that is damaged
        raise UserError(
            f"the checkpoint {path!r} cannot be loaded ({first_line(error)}): restore it, or start from the "
            "beginning with --overwrite"
        ) from None


def _random_states(model: keras.Model) -> list[keras.Variable]:
    """The random number states of dropout and augmentation, which `save_weights` leaves out."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]
