"""Ratios of the measured rates: our input to the limits of the machine and to the peers, and the like."""

from pipeline.benchmark import goodput, input_stages, machine, train_step
from pipeline.benchmark.peers import dali, grain_array_record, keras_directory
from pipeline.benchmark.peers.source import INPUT_GROUP, STEP_GROUP
from pipeline.benchmark.result import Result
from pipeline.benchmark.timing import Rates

_PAIRS = (
    (input_stages.MAPPED, machine.GROUP, machine.PLAIN_READ),
    (input_stages.MAPPED, INPUT_GROUP, dali.TFRECORDS),
    (input_stages.MAPPED, INPUT_GROUP, grain_array_record.NAME),
    (input_stages.MAPPED, INPUT_GROUP, keras_directory.ORIGINALS),
    (input_stages.STREAMED, machine.GROUP, machine.PLAIN_READ),
    (input_stages.MEMORY, machine.GROUP, machine.FANCY_INDEXING),
    (input_stages.JPEG_MAPPED, machine.GROUP, machine.DECODE),
)
"""One of our inputs, and the group and name of what it is compared with."""


def compare(results: list[Result]) -> dict[str, float]:
    """How many times as fast one thing is as another, for all pairs of which both were measured.

    Each ratio is the median over the rounds.
    """
    rates = {(result.group, result.name): result.rates for result in results if result.rates}
    ratios = {
        f"{ours} / {theirs}": rates[input_stages.GROUP, ours].over(rates[group, theirs])
        for ours, group, theirs in _PAIRS
        if (input_stages.GROUP, ours) in rates and (group, theirs) in rates
    }
    peers = [rate for (group, _), rate in rates.items() if group == INPUT_GROUP]
    memory = rates.get((input_stages.GROUP, input_stages.MEMORY))
    if peers and memory:
        ratios[f"{input_stages.MEMORY} / the fastest peer"] = memory.over(_fastest(peers))
    ratios |= _augmentation(results) | _step(results)
    goodputs = [result.details["goodput"] for result in results if result.group == goodput.GROUP]
    return ratios | ({"the least goodput": min(goodputs)} if goodputs else {})


def _augmentation(results: list[Result]) -> dict[str, float]:
    """What augmentation adds to the default model's step at the first batch size, in each precision."""
    ours = [
        result
        for result in results
        if result.group == train_step.GROUP and result.details.get("model") == "small" and result.rates
    ]
    rates = {
        (result.details["precision"], result.details["augmented"]): result.rates
        for result in ours
        if result.details["batch_size"] == ours[0].details["batch_size"] and not result.details["xla"]
    }
    return {
        f"time of the small model's step with augmentation / without, {precision}": plain.over(augmented)
        for (precision, is_augmented), plain in rates.items()
        if not is_augmented and plain and (augmented := rates.get((precision, True)))
    }


def _step(results: list[Result]) -> dict[str, float]:
    """The fastest of our precisions compared with the fastest of PyTorch's."""
    measured = [result for result in results if result.group == STEP_GROUP]
    theirs = [result.rates for result in measured if result.details.get("peer") and result.rates]
    ratios = {}
    for metrics, name in ((False, "without metrics"), (True, "with four metrics")):
        ours = [
            result.rates for result in measured if result.details.get("metrics") is metrics and result.rates
        ]
        if ours and theirs:
            ratios[f"small model's step {name} / PyTorch's without"] = _fastest(ours).over(_fastest(theirs))
    return ratios


def _fastest(rates: list[Rates]) -> Rates:
    return max(rates, key=lambda rate: rate.median)
