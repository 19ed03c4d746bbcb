"""Decides what the values of label columns mean, and tells what became of each of them."""

import collections
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, NORMAL, PNEUMONIA
from tfrecords_builder.source.names import whole_number
from tfrecords_builder.source.settings import Agreement, TableOptions
from tfrecords_builder.source.table_rows import VALUE_SEPARATOR

LEFT_OUT = "left out"
"""What a value means that says nothing about the class."""

MEANINGS = (CLASS_NAMES[PNEUMONIA], CLASS_NAMES[NORMAL], LEFT_OUT)

_VALUES_SHOWN = 10  # of each meaning
_VALUES_IN_ERROR = 5
_LONGEST_VALUE = 60  # characters that are shown
_SHORTEST_WORD = 3  # letters of a positive value that is looked for inside other values
_UNCERTAIN = "-1"  # in CheXpert


@dataclasses.dataclass(frozen=True)
class LabelRules:
    """What the values of label columns mean. All values are as `values_of` returns them."""

    positive: frozenset[str]
    pattern: re.Pattern[str] | None
    negative: frozenset[str]
    left_out: frozenset[str]

    @classmethod
    def from_options(cls, options: TableOptions) -> "LabelRules":
        """Reads the rules from options.

        Raises:
            UserError: if one value has two meanings.
        """
        pattern = re.compile(options.positive_pattern, re.IGNORECASE) if options.positive_pattern else None
        rules = cls(
            positive=frozenset() if pattern else values_of(*options.positive),
            pattern=pattern,
            negative=values_of(*options.negative),
            left_out=values_of(*options.leave_out),
        )
        twice = rules.positive & (rules.negative | rules.left_out) | rules.negative & rules.left_out
        if twice:
            raise UserError(
                f"{', '.join(map(repr, sorted(twice)))} cannot have two meanings: name each value in one of "
                "--table.positive, --table.negative and --table.leave-out"
            )
        return rules

    def meaning(self, cell: str) -> str:
        """What a cell means: one of MEANINGS, or empty if it has none of the values that were listed."""
        values = values_of(cell)
        if values & self.left_out:
            return LEFT_OUT
        if values & self.positive or (self.pattern and self.pattern.search(cell)):
            return CLASS_NAMES[PNEUMONIA]
        return CLASS_NAMES[NORMAL] if not self.negative or values & self.negative else ""

    def labels(self, cells: Iterable[str]) -> Iterator[int]:
        """The labels of cells, without those that are left out or have none of the values."""
        for cell in cells:
            if (meaning := self.meaning(cell)) in CLASS_NAMES:
                yield CLASS_NAMES.index(meaning)

    def is_doubtful(self, cell: str) -> bool:
        """Whether a cell became NORMAL, but may not mean it: it is uncertain, or almost a positive value."""
        values = values_of(cell)
        if self.meaning(cell) != CLASS_NAMES[NORMAL] or values & self.negative:
            return False
        words = {word for word in self.positive if len(word) >= _SHORTEST_WORD and not word.isnumeric()}
        folded = cell.casefold()
        is_near = any(word in folded for word in words | {CLASS_NAMES[PNEUMONIA].casefold()})
        return is_near or _UNCERTAIN in values


def values_of(*cells: str) -> frozenset[str]:
    """The values in cells; an empty cell has the value "".

    `1` and `1.0`, or `Pneumonia` and `PNEUMONIA`, become the same value.
    """
    values: set[str] = set()
    for cell in cells:
        texts = (text.strip().casefold() for text in cell.split(VALUE_SEPARATOR))
        values |= {whole_number(text) for text in texts if text} or {""}
    return frozenset(values)


def combine(labels: Sequence[int], readers: Agreement) -> int | None:
    """The label of an image from those of its readers, or None if they must agree and do not."""
    if readers == "any-positive":
        return max(labels)
    if readers == "majority":
        return int(2 * sum(labels) >= len(labels))
    return labels[0] if len(set(labels)) == 1 else None


def refuse_unknown(file: str, columns: Sequence[str], rules: LabelRules, num_rows: Mapping[str, int]) -> None:
    """Refuses values that no list of values names, if NORMAL is a list too.

    Raises:
        UserError: naming the most frequent of them.
    """
    unknown = {value: number for value, number in num_rows.items() if not rules.meaning(value)}
    if unknown:
        raise UserError(
            f"{file!r}, {_column_names(columns)}: {len(unknown)} values are neither positive, negative nor "
            f"left out: {_most_frequent(unknown.items(), _VALUES_IN_ERROR)}; name them in --table.positive, "
            "--table.negative or --table.leave-out"
        )


def describe(columns: Sequence[str], rules: LabelRules, num_rows: Mapping[str, int]) -> list[str]:
    """Tells what each value became.

    Args:
        columns: the label columns.
        rules: what values mean.
        num_rows: number of rows by value, as the cells have it.

    Returns:
        One line with the most frequent values of each meaning, and one with the values that need a look.
    """
    of_meaning: dict[str, list[tuple[str, int]]] = collections.defaultdict(list)
    for value, number in num_rows.items():
        of_meaning[rules.meaning(value)].append((value, number))
    meanings = [
        f"{meaning}: {_most_frequent(of_meaning[meaning], _VALUES_SHOWN)}"
        for meaning in MEANINGS
        if of_meaning[meaning]
    ]
    lines = [f"labels of {_column_names(columns)} and their rows - {'; '.join(meanings)}"]
    if doubtful := [entry for entry in of_meaning[CLASS_NAMES[NORMAL]] if rules.is_doubtful(entry[0])]:
        lines.append(
            f"became NORMAL, but may mean PNEUMONIA or nothing: {_most_frequent(doubtful, _VALUES_SHOWN)}; "
            "say what they mean with --table.positive, --table.positive-pattern, --table.negative or "
            "--table.leave-out"
        )
    return lines


def _column_names(columns: Sequence[str]) -> str:
    return f"column{'s' if len(columns) > 1 else ''} {', '.join(map(repr, columns))}"


def _most_frequent(values: Iterable[tuple[str, int]], shown: int) -> str:
    """The most frequent values with their numbers of rows, and how many more there are."""
    ordered = sorted(values, key=lambda entry: (-entry[1], entry[0]))
    text = ", ".join(f"{_short(value)} ({number})" for value, number in ordered[:shown])
    rest = ordered[shown:]
    return f"{text}, and {len(rest)} more values ({sum(number for _, number in rest)})" if rest else text


def _short(value: str) -> str:
    return repr(value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}...")
