"""Measures input and training step together: the goodput is how much of the slower one's rate is left."""

from pipeline.benchmark import train_step
from pipeline.benchmark.input_stages import batch_meter, endless
from pipeline.benchmark.result import Result
from pipeline.benchmark.samples import Samples
from pipeline.benchmark.timing import Rates, Timer
from pipeline.benchmark.train_step import Case, Training, batch_in_memory
from pipeline.input.reader import ReaderName
from pipeline.training.precision import supported

GROUP = "input and training together"
READERS: tuple[ReaderName, ...] = ("mapped", "memory")


def measure(timer: Timer, samples: Samples, batch_size: int, earlier: list[Result]) -> list[Result]:
    """Measures every model with augmentation.

    Args:
        timer: how often and how long each rate is measured.
        samples: the images, of which the raw records are read.
        batch_size: images per batch.
        earlier: results of the training step alone. Each model trains in the precision that was fastest.
    """
    return [
        result
        for model in train_step.MODELS
        for result in _measure_model(timer, samples, _fastest_case(earlier, model, batch_size))
    ]


def _measure_model(timer: Timer, samples: Samples, case: Case) -> list[Result]:
    training = Training(case, samples.side)
    inputs = [endless(samples.raw, case.batch_size, reader) for reader in READERS]
    step_meter = training.meter(batch_in_memory(case.batch_size, samples.side))
    input_meters = [batch_meter(dataset) for dataset in inputs]
    together_meters = [training.meter(dataset) for dataset in inputs]
    step_alone, *rates = timer.measure_all([step_meter, *input_meters, *together_meters])
    return [
        Result(GROUP, f"{case}, {reader}", together, details=ratios(input_alone, step_alone, together))
        for reader, input_alone, together in zip(
            READERS, rates[: len(READERS)], rates[len(READERS) :], strict=True
        )
    ]


def ratios(input_alone: Rates, step_alone: Rates, together: Rates) -> dict[str, float]:
    """Goodput and waiting, from rates that were measured in the same rounds.

    Returns:
        `goodput`: the rate together as a fraction of the slower one's rate alone; `waiting`: the fraction of
        the time in which the device waits for its input; and the medians of the rates alone, in images per
        second.
    """
    slower = Rates(tuple(map(min, input_alone.values, step_alone.values)))
    return {
        "input_alone": input_alone.median,
        "step_alone": step_alone.median,
        "goodput": together.over(slower),
        "waiting": max(0.0, 1 - together.over(step_alone)),
    }


def _fastest_case(earlier: list[Result], model: str, batch_size: int) -> Case:
    """The case with augmentation of the highest rate; in float32 if none was measured."""
    rates = {
        (result.details["precision"], result.details["xla"]): result.rates.median
        for result in earlier
        if result.group == train_step.GROUP
        and result.rates
        and result.details["augmented"]
        and (result.details["model"], result.details["batch_size"]) == (model, batch_size)
    }
    precision, xla = max(rates, key=lambda setting: rates[setting], default=(supported()[0], False))
    return Case(model, batch_size, precision, xla, augmented=True)
