"""Measures other libraries: input from the same images, and PyTorch's training step of the same network."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.benchmark.peers import dali, grain_array_record, keras_directory, torch_loader, torch_step
from pipeline.benchmark.peers.source import INPUT_GROUP, STEP_GROUP, PeerInput
from pipeline.benchmark.result import Measurement, Result, skipped
from pipeline.benchmark.samples import Samples, write_folders
from pipeline.benchmark.timing import Timer

INSTALL = "pip install 'chest-xray-pipeline[peers]'"
NUM_ORIGINALS = 400  # about 50 MB; the slowest peer reads them in a second or more

Peer = tuple[str, str, Callable[[PeerInput], list[Measurement]]]
"""The module that has to be installed, the name of the peer, and what prepares its measurements."""

ON_RECORDS: Sequence[Peer] = (
    ("nvidia.dali", "DALI, records", dali.on_records),
    ("grain", "grain + ArrayRecord", grain_array_record.on_records),
)
ON_FILES: Sequence[Peer] = (
    ("tensorflow", "Keras image_dataset_from_directory", keras_directory.on_files),
    ("nvidia.dali", "DALI, files", dali.on_files),
    ("torch", "PyTorch DataLoader", torch_loader.on_files),
)


def source(samples: Samples, batch_size: int, folder: Path) -> PeerInput:
    """Writes the images to an empty folder, in the forms that the peers read."""
    return PeerInput(
        raw=samples.shards(samples.raw),
        side=samples.side,
        originals=write_folders(
            samples, folder / "originals", min(NUM_ORIGINALS, len(samples.images)), original_size=True
        ),
        small=write_folders(samples, folder / "small", len(samples.images), original_size=False),
        scratch=folder,
        batch_size=batch_size,
    )


def prepare(peers: Sequence[Peer], images: PeerInput) -> tuple[list[Measurement], list[Result]]:
    """The measurements of the peers that are installed, and a result that says so for each that is not."""
    measurements: list[Measurement] = []
    not_installed: list[Result] = []
    for module, name, prepare_measurements in peers:
        if _is_installed(module):
            measurements += prepare_measurements(images)
        else:
            not_installed.append(_not_installed(INPUT_GROUP, name))
    return measurements, not_installed


def measure_step(timer: Timer, batch_size: int, side: int) -> list[Result]:
    """Measures the default model's training step, ours and PyTorch's, alternately."""
    if not _is_installed("torch"):
        return [_not_installed(STEP_GROUP, "PyTorch training step")]
    return torch_step.measure(timer, batch_size, side)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # raised for the parent package
        return False


def _not_installed(group: str, name: str) -> Result:
    return skipped(group, name, f"not installed: {INSTALL}")
