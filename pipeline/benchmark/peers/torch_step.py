"""Measures the training step of the same network in PyTorch: channels_last, fused AdamW, averaged weights.

Every variant of the step, ours included, runs in a process of its own, as it would in use: the threads of two
frameworks disturb each other, and what a process has trained before slows what it trains next.
"""

import ctypes
import dataclasses
import functools
import itertools
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.benchmark.peers.meter_process import MeterProcess
from pipeline.benchmark.peers.source import STEP_GROUP
from pipeline.benchmark.result import Measurement, Result, measure_all, skipped
from pipeline.benchmark.timing import Meter, Timer, meter
from pipeline.benchmark.train_step import Case, Training, batch_in_memory
from pipeline.network.layers import NORMALIZATION_MOMENTUM
from pipeline.training.precision import supported
from pipeline.training.settings import ModelConfig, TrainConfig

MODES = ("eager", "compile")
PRECISIONS = ("float32", "bfloat16")
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # parameters of mallopt(3)
_KEPT_BYTES = 1 << 28
"""Memory below this size is not given back to the operating system."""


def measure(timer: Timer, batch_size: int, side: int) -> list[Result]:
    """Measures the default model's step without augmentation in every precision, ours and PyTorch's.

    PyTorch's step has no metrics. Ours is measured with the four metrics of the recipe and with none.

    Args:
        timer: how often and how long each rate is measured.
        batch_size: images of one training step.
        side: side of the images, in pixels.
    """
    measurements, failed = [], []
    variants = _ours(batch_size, side) + _theirs(batch_size, side)
    processes = [MeterProcess(variant.prepare) for variant in variants]
    for variant, process in zip(variants, processes, strict=True):
        if process.failure:
            failed.append(skipped(STEP_GROUP, variant.name, process.failure))
        else:
            measurements.append(Measurement(STEP_GROUP, variant.name, process.rate, variant.details))
    try:
        return measure_all(timer, measurements) + failed
    finally:
        for process in processes:
            process.close()


@dataclasses.dataclass(frozen=True)
class _Variant:
    """A training step that is measured."""

    name: str
    prepare: Callable[[], Meter]
    """Makes the meter, in another process."""
    details: dict[str, Any]
    """Further figures of the result."""


def _ours(batch_size: int, side: int) -> list[_Variant]:
    cases = [Case("small", batch_size, name, xla=False, augmented=False) for name in supported()]
    return [
        _Variant(
            f"ours, small, batch {batch_size}, {case.precision}, {'four' if metrics else 'no'} metrics",
            functools.partial(_our_meter, case, side, metrics=metrics),
            {"peer": False, "metrics": metrics},
        )
        for case, metrics in itertools.product(cases, (True, False))
    ]


def _our_meter(case: Case, side: int, *, metrics: bool) -> Meter:
    return Training(case, side, metrics=metrics).meter(batch_in_memory(case.batch_size, side))


def _theirs(batch_size: int, side: int) -> list[_Variant]:
    return [
        _Variant(
            f"PyTorch, small, batch {batch_size}, {precision}, {mode}",
            functools.partial(_their_meter, mode, precision, batch_size, side),
            {"peer": True},
        )
        for mode, precision in itertools.product(MODES, PRECISIONS)
    ]


def _their_meter(mode: str, precision: str, batch_size: int, side: int) -> Meter:
    import torch

    _keep_memory()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return meter(_step(mode, precision, batch_size, side))


def _keep_memory() -> None:
    """Makes glibc keep freed memory for later, as getting it back from the system slows PyTorch's step.

    PyTorch's tuning guide recommends other allocators for that. (Measured: docs/performance.md.)
    """
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        for parameter in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _M_TOP_PAD):
            library.mallopt(parameter, _KEPT_BYTES)


def _step(mode: str, precision: str, batch_size: int, side: int) -> Callable[[], int]:
    """Makes a function that trains one step and returns the number of its images."""
    import torch

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = TrainConfig("", "")
    model = _network(ModelConfig()).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    swa = torch.optim.swa_utils
    averaged = swa.AveragedModel(model, multi_avg_fn=swa.get_ema_multi_avg_fn(config.ema))
    images, labels = _batch(batch_size, side, device)

    def loss_of(images: Any, labels: Any) -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(images.float())
        return torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)

    compute_loss = torch.compile(loss_of) if mode == "compile" else loss_of

    def step() -> int:
        loss = compute_loss(images, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        averaged.update_parameters(model)
        loss.item()  # waits for the device
        return batch_size

    for _ in range(3):
        step()
    return step


def _batch(batch_size: int, side: int, device: str) -> tuple[Any, Any]:
    import torch

    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (batch_size, 1, side, side), dtype=np.uint8))
    labels = torch.from_numpy(generator.integers(0, 2, (batch_size, 1)).astype(np.float32))
    return images.to(device, memory_format=torch.channels_last), labels.to(device)


def _network(config: ModelConfig) -> Any:
    """Builds the network of `pipeline.model.build_model` without its sigmoid."""
    from torch import nn

    class Standardize(nn.Module):
        def forward(self, images: Any) -> Any:
            return nn.functional.layer_norm(images / 255, images.shape[1:], eps=1e-6)

    layers: list[nn.Module] = [Standardize()]
    channels = 1
    for block, filters in enumerate(config.filters):
        if block:
            layers.append(nn.MaxPool2d(2))
        for _ in range(config.convolutions):
            layers += [
                nn.Conv2d(channels, filters, 3, padding=1, bias=False),
                nn.BatchNorm2d(filters, eps=1e-3, momentum=1 - NORMALIZATION_MOMENTUM),
                nn.ReLU(inplace=True),
            ]
            channels = filters
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(config.dropout)]
    for units in config.dense_units:
        layers += [nn.Linear(channels, units), nn.ReLU(inplace=True)]
        channels = units
    return nn.Sequential(*layers, nn.Linear(channels, 1))
