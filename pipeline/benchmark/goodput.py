"""Input and training step together, and how much of the slower one's speed is left: the goodput."""

from pipeline.benchmark import train_step
from pipeline.benchmark.input_stages import drained, endless
from pipeline.benchmark.result import Result
from pipeline.benchmark.samples import Samples
from pipeline.benchmark.timing import Rates, Timer
from pipeline.benchmark.train_step import Case, Training, batch_in_memory, precisions
from pipeline.input.cache import Cache
from pipeline.training.settings import Precision

GROUP = "input and training together"
WAYS: dict[str, Cache] = {"streamed": "none", "in memory": "ram"}


def measure(timer: Timer, samples: Samples, batch_size: int, before: list[Result]) -> list[Result]:
    """Every model in the precision that was measured to be its fastest, with augmentation."""
    return [
        result
        for model in train_step.MODELS
        for result in _measure_model(timer, samples, _fastest(before, model, batch_size))
    ]


def _measure_model(timer: Timer, samples: Samples, case: Case) -> list[Result]:
    training = Training(case, samples.side)
    inputs = [endless(samples.raw, case.batch_size, cache) for cache in WAYS.values()]
    step = training.meter(batch_in_memory(case.batch_size, samples.side))
    alone = [drained(batches) for batches in inputs]
    together = [training.meter(batches) for batches in inputs]
    step_alone, *rates = timer.in_turn([step, *alone, *together])
    return [
        Result(GROUP, f"{case}, {way}", both, details=ratios(input_alone, step_alone, both))
        for way, input_alone, both in zip(WAYS, rates[: len(WAYS)], rates[len(WAYS) :], strict=True)
    ]


def ratios(input_alone: Rates, step_alone: Rates, together: Rates) -> dict[str, float]:
    """Goodput and waiting, from rates that were measured in turn.

    Returns:
        `goodput`: the fraction that is reached of the slower one's speed; `waiting`: the share of time for
        which the device waits for its input.
    """
    slower = Rates(tuple(map(min, input_alone.values, step_alone.values)))
    return {
        "input_alone": input_alone.median,
        "step_alone": step_alone.median,
        "goodput": together.over(slower),
        "waiting": max(0.0, 1 - together.over(step_alone)),
    }


def _fastest(before: list[Result], model: str, batch_size: int) -> Case:
    """The augmented case of the highest rate; without any that was measured, float32."""
    found = [
        result
        for result in before
        if result.group == train_step.GROUP
        and result.rates
        and result.details["augmented"]
        and (result.details["model"], result.details["batch_size"]) == (model, batch_size)
    ]
    rates = {(r.details["precision"], r.details["xla"]): r.rates.median for r in found if r.rates}
    precision, xla = max(rates, key=lambda way: rates[way], default=(precisions()[0], False))
    return Case(model, batch_size, _as_precision(precision), xla, augmented=True)


def _as_precision(name: str) -> Precision:
    return next(precision for precision in precisions() if precision == name)
