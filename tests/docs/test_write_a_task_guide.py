"""The data scientist's path, walked as the guide has it, and every mistake that it explains, made."""

import re
import sys

import pytest
from pages import ROOT, table_under
from walking import walk

from consilia.errors import ConsiliaError
from consilia_workers.learner import make_learner
from consilia_workers.local.plan import make_plan

GUIDE = ROOT / "docs" / "guides" / "write-a-task.md"

TASK = "from readmission import *\n\nclass Mistaken(Readmission):\n    def "
MISTAKES = {
    "no module": {"job": ("readmission:Readmission", "readmision:Readmission")},
    "no class": {"job": ("readmission:Readmission", "readmission:Readmision")},
    "method missing": {"code": "from readmission import *\n\nclass Mistaken(Task):\n    model = Readmission.model\n"},
    "metric": {"job": ("[auc", "[roc")},
    "no data": {"data": None},
    "no file": {"remove": "test.csv"},
    "no records": {"keep_lines": 1},
    "no squeeze": {"code": TASK + "loss(self, m, b): return binary_cross_entropy_with_logits(m(b[0]), b[1])"},
    "no mean": {"code": TASK + "loss(self, m, b): return (m(b[0]).squeeze(1) - b[1]) ** 2"},
    "scores": {"code": TASK + "predict(self, m, b): return m(b[0]).sigmoid(), b[1]"},
    "whole numbers": {"code": TASK + "loss(self, m, b): return super().loss(m, (b[0], b[1].long()))"},
    "nan": {"first_row": "nan,1,1,1,1,1,1"},
    "bfloat16": {"code": TASK + "model(self): return super().model().bfloat16()"},
    "bare number": {"job": ('"0.1"', "0.1")},
    "too few": {"job": ("names: [harbour, meadow]", "names: [harbour]")},
    "not supported": {"job": ("  evaluation:", "  compression: {codec: Int8}\n  evaluation:")},
}


@pytest.mark.slow
def test_the_guide_works_as_written(tmp_path):
    assert len(walk(GUIDE, tmp_path)) >= 7


@pytest.fixture
def hospitals(tmp_path, monkeypatch):
    """A folder with the guide's files and its hospitals' tables, where modules are found as by `consilia run`."""
    before = set(sys.modules)
    walk(GUIDE, tmp_path, commands="make_hospitals")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def attempt(folder, data="hospitals", job=("", ""), code=None, **damage):
    """Do at `meadow` what a hospital does in its first round."""
    text = (folder / "readmission.yaml").read_text().replace(*job)
    if code:
        (folder / "mistaken.py").write_text(code)
        text = text.replace("readmission:Readmission", "mistaken:Mistaken")
    (folder / "job.yaml").write_text(text)
    damage_table(folder / "hospitals" / "meadow", **damage)
    plan = make_plan(folder / "job.yaml", data=data and folder / data, seeds=1, baselines=False)
    learner = make_learner(plan.job, plan.sites[-1].source())
    model = bytearray().join(learner.initial())
    return learner.evaluate(model), bytearray().join(learner.train(1, model))


def damage_table(folder, remove=None, keep_lines=None, first_row=None):
    if remove:
        (folder / remove).unlink()
    if keep_lines:
        lines = (folder / "test.csv").read_text().splitlines()[:keep_lines]
        (folder / "test.csv").write_text("\n".join(lines) + "\n")
    if first_row:
        head, *rows = (folder / "train.csv").read_text().splitlines()
        (folder / "train.csv").write_text("\n".join([head, *[first_row] * len(rows)]) + "\n")


def pattern(row):
    """The message in a row's first cell; what it leaves out may be anything."""
    return re.escape(row[0].strip("`")).replace("…", ".*")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gives_the_error_that_the_guide_explains(hospitals, mistake):
    rows = table_under(GUIDE, "Common mistakes")
    with pytest.raises(ConsiliaError) as caught:
        attempt(hospitals, **MISTAKES[mistake])
    found = [row for row in rows if re.search(pattern(row), str(caught.value), re.DOTALL)]
    assert len(found) == 1, str(caught.value)
    assert rows.index(found[0]) == list(MISTAKES).index(mistake), "keep table and test in the same order"


def test_every_mistake_in_the_guide_is_made_here():
    assert len(table_under(GUIDE, "Common mistakes")) == len(MISTAKES)


@pytest.mark.parametrize("entrypoint", ["readmission:Readmission", "destination:Destination", "newton:Newton"])
def test_every_task_of_the_guide_learns(hospitals, entrypoint):
    metrics = "[accuracy, loss]"
    job = (hospitals / "readmission.yaml").read_text().replace("[auc, accuracy, loss]", metrics)
    (hospitals / "readmission.yaml").write_text(job)
    before, model = attempt(hospitals, job=("readmission:Readmission", entrypoint))
    plan = make_plan(hospitals / "job.yaml", data=hospitals / "hospitals", seeds=1, baselines=False)
    learner = make_learner(plan.job, plan.sites[-1].source())
    assert learner.evaluate(model)["loss"] < before["loss"]
