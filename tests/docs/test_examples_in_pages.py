"""The examples are valid, and somebody tells the readers of them."""

import pytest
from pages import ROOT, all_pages, text_of

from consilia.manifest import problems

JOBS = sorted((ROOT / "examples").glob("*.yaml"))
RESOURCES = sorted((ROOT / "examples" / "resources").glob("*.yaml"))


def name(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", JOBS, ids=name)
def test_a_job_is_valid_and_a_guide_runs_it(path):
    assert problems(path) == []
    guides = [text_of(page) for page in all_pages() if page.parent.name == "guides"]
    assert any(f"consilia run {name(path)}" in text for text in guides)


@pytest.mark.parametrize("path", RESOURCES, ids=name)
def test_a_resource_works_in_a_cluster_and_its_reference_shows_it(path):
    assert problems(path, "Cluster") == []
    shown = text_of(ROOT / "docs" / "reference" / f"{path.stem}.md")
    assert path.read_text(encoding="utf-8").strip() in shown


def test_there_are_examples():
    assert len(JOBS) >= 4
    assert len(RESOURCES) >= 3
