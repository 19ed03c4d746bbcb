"""docs/metrics.md describes every key of a real `metrics.json`, and no key that is not there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
ROW = re.compile(
    r"\| `(?P<key>[^`]+)` \| (?P<type>\w+) \| (?P<unit>[^|]+) \| (?P<range>[^|]+) \| (?P<null>[^|]+) \|"
)
TYPES = {"text": str, "integer": int, "number": (int, float), "texts": list, "list": list}


@pytest.fixture(scope="module")
def documented() -> dict[str, dict[str, str]]:
    """The rows of the table, by key."""
    rows = [ROW.match(line) for line in DOCUMENT.read_text(encoding="utf-8").splitlines()]
    return {row["key"]: {name: text.strip() for name, text in row.groupdict().items()} for row in rows if row}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The path and value of everything in a JSON object that is no object, or an interval."""
    if isinstance(value, dict) and set(value) != {"value", "low", "high"}:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def documented_key(path: str) -> str:
    """The key in the document: a placeholder stands for a name that depends on the data."""
    path = re.sub(r"^(training_images|images)\.\w+$", r"\1.<class>", path)
    path = re.sub(r"^splits\.\w+\.", "splits.<split>.", path)
    path = re.sub(r"^gallery\.[\w ]+$", "gallery.<kind of answer>", path)
    path = re.sub(r"^subgroups\.\w+\.[\w ]+\.", "subgroups.<kind>.<group>.", path)
    path = re.sub(r"(?<=\.images\.)\w+$", "<class>", path)
    path = re.sub(r"^robustness\..*\.(\w+)$", r"robustness.<change>.\1", path)
    path = re.sub(r"^heat_in_lungs\.[^.]+\.", "heat_in_lungs.<group>.", path)
    path = re.sub(r"^faithfulness\.[^.]+\.", "faithfulness.<method>.", path)
    path = re.sub(r"^exchange\.[^.]+\.", "exchange.<region>.", path)
    path = re.sub(r"^(over_thresholds\.\w+)\.[\d.]+$", r"\1.<limit>", path)
    path = re.sub(r"^at_prevalence\.[\d.]+\.(\w+)$", r"at_prevalence.<prevalence>.\1", path)
    path = re.sub(r"^warnings\..*$", "warnings.<warning>", path)
    path = re.sub(r"(?<=\.)at_(operating_point|half)(?=\.)", "<at_threshold>", path)
    return re.sub(r"^at_(operating_point|half)\.", "<at_threshold>.", path)


def fits(value: Any, row: dict[str, str]) -> bool:
    """Whether a value is of the documented type and in the documented range."""
    if isinstance(value, dict):
        return row["type"] == "interval" and all(
            fits(end, row | {"type": "number"}) for end in value.values()
        )
    if value is None:
        return row["null"] != "never"
    if not isinstance(value, TYPES[row["type"]]):
        return False
    limits = re.fullmatch(r"(\d) to (\d)", row["range"])
    return limits is None or float(limits[1]) <= value <= float(limits[2])


def test_the_document_describes_a_real_file(explained, documented):
    found = {(documented_key(path), path): value for path, value in leaves(explained.metrics)}

    assert {key for key, _ in found} == set(documented)
    for (key, path), value in found.items():
        assert fits(value, documented[key]), (path, value, documented[key])
