"""Every section of docs/serving-contract.md that a test cites is there, and a test cites every section."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
CITATION = re.compile(r"docs/serving-contract\.md,\s+sections? (\d+)(?: and (\d+))?")
HEADING = re.compile(r"^## (\d+)\. ", re.MULTILINE)
PACKAGES = ("tfrecords_builder", "pipeline", "tuning", "serving", "tests")

DOCUMENT = (ROOT / "docs/serving-contract.md").read_text(encoding="utf-8")
SECTIONS = HEADING.findall(DOCUMENT)


def cited_sections(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    return {number for numbers in CITATION.findall(text) for number in numbers if number}


def test_sections_are_numbered_from_one():
    assert [str(number) for number in range(1, len(SECTIONS) + 1)] == SECTIONS


def test_cited_sections_exist():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert cited_sections(path) <= set(SECTIONS), path


@pytest.mark.parametrize(
    "path", sorted(set(HERE.glob("test_*.py")) - {Path(__file__)}), ids=lambda path: path.name
)
def test_every_module_of_these_tests_says_which_section_it_checks(path):
    assert CITATION.search(path.read_text(encoding="utf-8").splitlines()[0])


def test_every_section_is_checked_by_a_test():
    cited = set().union(*(cited_sections(path) for path in HERE.glob("test_*.py")))
    assert cited == set(SECTIONS)


def test_links_inside_the_document_lead_to_its_headings():
    headings = re.findall(r"^## (.+)$", DOCUMENT, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(#([^)]+)\)", DOCUMENT)) <= anchors
