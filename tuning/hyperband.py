"""The arithmetic of Hyperband (Li et al., arXiv:1603.06560) as KerasTuner does it, for people to read."""

import dataclasses
import itertools
import math
from collections.abc import Iterator

HALVING_FACTOR = 3
"""Hyperband gives this many times as many epochs to the best of its trials, a third of them."""


@dataclasses.dataclass(frozen=True)
class Round:
    """Trials that are trained equally long."""

    trials: int
    epochs: int
    """Number of epochs at which these trials end."""
    continued_from: int
    """Number of epochs that they were trained in an earlier trial."""


def brackets(trial_epochs: int) -> list[list[Round]]:
    """The brackets of one iteration, each a list of rounds, in the order in which they are tried.

    Args:
        trial_epochs: epochs of the longest trials.
    """
    count = 0
    while trial_epochs / HALVING_FACTOR**count >= 1:
        count += 1
    return [_rounds(trial_epochs, bracket) for bracket in reversed(range(count))]


def _rounds(trial_epochs: int, bracket: int) -> list[Round]:
    size = math.ceil(1 + math.log(trial_epochs, HALVING_FACTOR)) / (bracket + 1)
    epochs = [math.ceil(trial_epochs / HALVING_FACTOR ** (bracket - number)) for number in range(bracket + 1)]
    return [
        Round(math.ceil(size * HALVING_FACTOR ** (bracket - number)), at, before)
        for number, (at, before) in enumerate(zip(epochs, [0, *epochs], strict=False))
    ]


def within(trial_epochs: int, max_trials: int) -> tuple[list[list[Round]], int]:
    """The brackets that a number of trials allows.

    Args:
        trial_epochs: epochs of the longest trials.
        max_trials: largest number of trials.

    Returns:
        The whole brackets, and the number of trials that are left for one that is cut off.
    """
    whole: list[list[Round]] = []
    left = max_trials
    for bracket in _endless(trial_epochs):
        size = sum(part.trials for part in bracket)
        if size > left:
            return whole, left
        whole.append(bracket)
        left -= size
    raise AssertionError("brackets have no end")


def num_epochs(bracket: list[Round]) -> int:
    """Epochs that are trained in a bracket."""
    return sum(part.trials * (part.epochs - part.continued_from) for part in bracket)


def in_words(trial_epochs: int, max_trials: int) -> str:
    """Describes the brackets, one a line."""
    whole, left = within(trial_epochs, max_trials)
    lines = []
    for number, bracket in enumerate(whole, start=1):
        rounds = ", then the best ".join(f"{part.trials} up to epoch {part.epochs}" for part in bracket)
        lines.append(f"bracket {number}: {rounds}")
    if left:
        lines.append(f"then {left} trials of a bracket that --max-trials cuts off")
    return "\n".join(lines)


def _endless(trial_epochs: int) -> Iterator[list[Round]]:
    return itertools.chain.from_iterable(itertools.repeat(brackets(trial_epochs)))


def total_epochs(trial_epochs: int, max_trials: int) -> int:
    """Epochs that are trained in all trials together, those of a bracket that is cut off included."""
    whole, left = within(trial_epochs, max_trials)
    epochs = sum(map(num_epochs, whole))
    following = brackets(trial_epochs)[len(whole) % len(brackets(trial_epochs))]
    for part in following:
        trials = min(left, part.trials)
        epochs += trials * (part.epochs - part.continued_from)
        left -= trials
    return epochs
