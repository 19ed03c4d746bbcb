"""The training step of the same network in PyTorch: channels_last, fused AdamW, averaged weights."""

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.benchmark.peers.source import STEP_GROUP
from pipeline.benchmark.result import Result, skipped
from pipeline.benchmark.timing import Timer
from pipeline.model import NORMALIZATION_MOMENTUM, ModelConfig
from pipeline.train import TrainConfig

MODES = ("eager", "compile")
PRECISIONS = ("float32", "bfloat16")


def measure(timer: Timer, batch_size: int, side: int) -> list[Result]:
    """The default model's step in every mode and precision, without augmentation and metrics."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    results = []
    for mode, precision in itertools.product(MODES, PRECISIONS):
        name = f"PyTorch, small, batch {batch_size}, {precision}, {mode}"
        try:
            step = _step(mode, precision, batch_size, side)
            results.append(Result(STEP_GROUP, name, timer.rates(step)))
        except Exception as error:
            results.append(skipped(STEP_GROUP, name, f"{type(error).__name__}: {str(error).splitlines()[0]}"))
    return results


def _step(mode: str, precision: str, batch_size: int, side: int) -> Callable[[], int]:
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
    """`pipeline.model.build_model`, layer by layer."""
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
