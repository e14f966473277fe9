"""Every promise of the page for privacy officers names the tests that hold it, and they exist."""

import re

import pytest
from pages import ROOT, text_of

PAGE = ROOT / "docs" / "concepts" / "privacy.md"
PROMISES = re.findall(
    r"^- (.+)$", text_of(PAGE).partition("## What is promised")[2].partition("## What is not promised")[0], re.MULTILINE
)
REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_there_are_promises():
    assert len(PROMISES) > 20


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_held_by_tests_that_exist(promise):
    named = REFERENCE.findall(promise)
    assert named, "no test is named"
    for file, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), (
            f"{file} has no {name}"
        )
