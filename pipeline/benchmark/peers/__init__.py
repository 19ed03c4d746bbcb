"""Other input pipelines on the same images, and another framework's training step."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.benchmark.peers import dali, grain_array_record, keras_directory, torch_loader, torch_step
from pipeline.benchmark.peers.source import INPUT_GROUP, STEP_GROUP, PeerInput
from pipeline.benchmark.result import Measurement, Result, skipped
from pipeline.benchmark.samples import Samples, write_folders
from pipeline.benchmark.timing import Timer

INSTALL = "pip install 'chest-xray-pipeline[peers]'"
ORIGINALS = 400  # files: 50 MB, and a second or more for the slowest

Peer = tuple[str, str, Callable[[PeerInput], list[Measurement]]]
"""The module that has to be installed, a name, and what can be measured."""

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
    """The images in the forms that the peers take, in an empty folder."""
    return PeerInput(
        raw=samples.shards(samples.raw),
        records=len(samples.images),
        side=samples.side,
        originals=write_folders(
            samples, folder / "originals", min(ORIGINALS, len(samples.images)), original_size=True
        ),
        small=write_folders(samples, folder / "small", len(samples.images), original_size=False),
        scratch=folder,
        batch_size=batch_size,
    )


def prepare(peers: Sequence[Peer], images: PeerInput) -> tuple[list[Measurement], list[Result]]:
    """What can be measured of those that are installed, and a line for each that is not."""
    measurements: list[Measurement] = []
    missing: list[Result] = []
    for module, name, of in peers:
        if _is_installed(module):
            measurements += of(images)
        else:
            missing.append(_not_installed(INPUT_GROUP, name))
    return measurements, missing


def measure_step(timer: Timer, batch_size: int, side: int) -> list[Result]:
    """The default model's training step, ours and PyTorch's, in turn."""
    if not _is_installed("torch"):
        return [_not_installed(STEP_GROUP, "PyTorch training step")]
    return torch_step.measure(timer, batch_size, side)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def _not_installed(group: str, name: str) -> Result:
    return skipped(group, name, f"not installed: {INSTALL}")
