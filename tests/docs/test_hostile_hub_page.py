"""Every line of the page for security officers names the tests that try it, and what they expect is what it says."""

import re

import pytest
from pages import ROOT, text_of

from consilia.errors import Objection

PAGE = text_of(ROOT / "docs" / "concepts" / "hostile-hub.md")
ROWS = [re.split(r"\s*\|\s*", row)[1:-1] for row in re.findall(r"^\|.*`tests/.*\|$", PAGE, re.MULTILINE)]
REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)(?:\[(\w+)\])?`")
REASONS = text_of(ROOT / "docs" / "reference" / "conditions.md")


def test_there_are_more_than_forty_attempts():
    assert len(ROWS) > 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:40])
def test_an_attempt_is_made_in_tests_that_exist(row):
    named = REFERENCE.findall(row[-1])
    assert named, "no test is named"
    for file, test, case in named:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {test}\(", text, re.MULTILINE), f"{file} has no {test}"
        if case:
            assert re.search(rf"^def {case}\(", text, re.MULTILINE), f"{file} has no {case}"
            (expected,) = re.findall(rf"^        \({case}, (.+)\),$", text, re.MULTILINE)
            assert expected.replace('"', "").replace(",", "") == row[2], f"{case} expects {expected}"


@pytest.mark.parametrize("row", [row for row in ROWS if len(row) == 4], ids=lambda row: row[1][:40])
def test_what_the_hospital_says_is_in_the_reference(row):
    *condition, reason = row[2].split()
    if condition:
        assert re.search(rf"^\| {condition[0]} \| [\w, ]*\b{reason}\b", REASONS, re.MULTILINE)
    else:
        assert reason in set(Objection)
