"""Other input pipelines and another training step, on the same images in the same process."""

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path

from pipeline.benchmark.peers import dali, grain_array_record, keras_directory, torch_loader, torch_step
from pipeline.benchmark.peers.source import INPUT_GROUP, STEP_GROUP, PeerInput
from pipeline.benchmark.result import Result, skipped
from pipeline.benchmark.samples import Samples, write_folders
from pipeline.benchmark.timing import Timer

INSTALL = "pip install 'chest-xray-pipeline[peers]'"
ORIGINALS = 400  # files: 50 MB, and a second or more for the slowest


@dataclasses.dataclass(frozen=True)
class Step:
    """The training step that is compared."""

    batch_size: int
    side: int
    """Of the images, in pixels."""


def measure(timer: Timer, samples: Samples, batch_size: int, step: Step, folder: Path) -> list[Result]:
    """Every peer that is installed; `batch_size` is that of the input."""
    source = PeerInput(
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
    measurements: dict[tuple[str, str], Callable[[], list[Result]]] = {
        ("tensorflow", "Keras image_dataset_from_directory"): lambda: keras_directory.measure(timer, source),
        ("nvidia.dali", "DALI"): lambda: dali.measure(timer, source),
        ("grain", "grain + ArrayRecord"): lambda: grain_array_record.measure(timer, source),
        ("torch", "PyTorch DataLoader"): lambda: torch_loader.measure(timer, source),
        ("torch", "PyTorch training step"): lambda: torch_step.measure(timer, step.batch_size, step.side),
    }
    results = []
    for (module, name), work in measurements.items():
        group = STEP_GROUP if "step" in name else INPUT_GROUP
        results += work() if _is_installed(module) else [skipped(group, name, f"not installed: {INSTALL}")]
    return results


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False
