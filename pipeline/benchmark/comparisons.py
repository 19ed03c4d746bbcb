"""What the figures say of each other: our input against the machine's limits and against the peers."""

from pipeline.benchmark import goodput, input_stages, machine, train_step
from pipeline.benchmark.peers import dali, grain_array_record, keras_directory
from pipeline.benchmark.peers.source import INPUT_GROUP, STEP_GROUP
from pipeline.benchmark.result import Result

_PAIRS = (
    (input_stages.STREAMED, machine.GROUP, machine.PLAIN_READ),
    (input_stages.STREAMED, INPUT_GROUP, dali.TFRECORDS),
    (input_stages.STREAMED, INPUT_GROUP, grain_array_record.NAME),
    (input_stages.STREAMED, INPUT_GROUP, keras_directory.ORIGINALS),
    (input_stages.IN_MEMORY, machine.GROUP, machine.FANCY_INDEXING),
    (input_stages.ENCODED, machine.GROUP, machine.DECODE),
)


def compare(results: list[Result]) -> dict[str, float]:
    """How many times as fast one is as the other, of those that were measured."""
    medians = {(result.group, result.name): result.rates.median for result in results if result.rates}
    ratios = {
        f"{ours} / {theirs}": medians[input_stages.GROUP, ours] / medians[group, theirs]
        for ours, group, theirs in _PAIRS
        if (input_stages.GROUP, ours) in medians and (group, theirs) in medians
    }
    peers = [rate for (group, _), rate in medians.items() if group == INPUT_GROUP]
    if peers and (input_stages.GROUP, input_stages.IN_MEMORY) in medians:
        fastest = f"{input_stages.IN_MEMORY} / the fastest peer"
        ratios[fastest] = medians[input_stages.GROUP, input_stages.IN_MEMORY] / max(peers)
    goodputs = [result.details["goodput"] for result in results if result.group == goodput.GROUP]
    if goodputs:
        ratios["the least goodput"] = min(goodputs)
    return ratios | _steps(results)


def _steps(results: list[Result]) -> dict[str, float]:
    """The default model's fastest step against PyTorch's, and what augmentation adds to it."""
    ours = [
        result
        for result in results
        if result.group == train_step.GROUP and result.details.get("model") == "small"
    ]
    if not ours:
        return {}
    batch_size = ours[0].details["batch_size"]  # the first asked for, as PyTorch has it
    rates = {
        (result.details["augmented"], result.details["precision"]): result.rates.median
        for result in ours
        if result.rates and result.details["batch_size"] == batch_size and not result.details["xla"]
    }
    plain = {precision: rate for (augmented, precision), rate in rates.items() if not augmented}
    ratios = {
        f"time of the small model's step with augmentation / without, {precision}": rate
        / rates[True, precision]
        for precision, rate in plain.items()
        if (True, precision) in rates
    }
    peers = [result.rates.median for result in results if result.group == STEP_GROUP and result.rates]
    if peers and plain:
        ratios["small model's step, its fastest precision / PyTorch's fastest"] = max(plain.values()) / max(
            peers
        )
    return ratios
