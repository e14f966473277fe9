"""The guide for reading an audit: its commands typed, and what it names held to the code."""

import re

import pytest
from pages import ROOT, text_of
from walking import walk

from consilia_workers.audit.ballast import FEWEST, MOST
from consilia_workers.cli.audit_privacy import EXIT_VIOLATED
from consilia_workers.privacy_files import AUDIT, CANARIES
from consilia_workers.report.privacy import OTHERS_FOR_1_PERCENT

GUIDE = ROOT / "docs" / "guides" / "audit-privacy.md"


@pytest.mark.slow
def test_the_guides_commands_print_what_it_says(tmp_path):
    assert len(walk(GUIDE, tmp_path)) == 2


def test_the_guides_figures_are_the_programs():
    text = " ".join(text_of(GUIDE).split())
    assert f"{FEWEST:,} to {MOST:,} *canaries*" in text
    assert f"exit code {EXIT_VIOLATED} if a hospital's audit is violated" in text
    assert f"fewer than {OTHERS_FOR_1_PERCENT} others" in text
    assert {AUDIT, CANARIES} <= set(re.findall(r"`([\w.]+)`", text))
