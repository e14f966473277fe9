"""Aggregator and trainers one minor version apart, real programs over a real log: the same model, the same ledgers."""

import json
import re
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from two_versions import NEW, OLD, Party

from consilia.ledger.reading import read_ledger
from consilia.log import follow, topics
from consilia.log.opening import open_log
from consilia.wire.messages import JobFinished, RoundClosed, from_aggregator
from consilia_workers.local.folder import AGGREGATOR, SeedFolder

pytestmark = pytest.mark.slow
HOSPITALS = ("lakeview", "riverside")
TOO_LONG = 200.0
TASK = "consilia_workers.tasks.breast_cancer"
SPEC = {
    "task": {"entrypoint": f"{TASK}:BreastCancer"},
    "dataset": "breast-cancer",
    "hospitals": {"names": list(HOSPITALS), "minReady": 2, "minUpdates": 2},
    "rounds": {"count": 3, "deadlineSeconds": 120},
    "training": {"localEpochs": 1, "batchSize": 16, "optimizer": {"name": "SGD", "learningRate": "0.1"}, "seed": 7},
    "evaluation": {"everyRounds": 1, "metrics": ["auc", "loss"]},
}
PRIVATE = {
    "privacy": {"epsilon": "2", "sampleRate": "1"},
    "training": {"localSteps": 2, "optimizer": {"name": "SGD", "learningRate": "1"}},
}
BUDGET = {"epsilon": "8", "delta": "0.00001"}


@dataclass
class Job:
    """One training, whose settings the hub's version has written."""

    folder: SeedFolder
    hub: Party

    @classmethod
    def prepared(cls, path: Path, hub: Party, spec, **site):
        job = {"apiVersion": "consilia.dev/v1alpha1", "kind": "FederatedJob", "metadata": {"name": "job"}, "spec": spec}
        sites = [{"hospital": name, "path": None, "parameters": {}, **site} for name in HOSPITALS]
        hub.prepare(folder=str(path), job=job, sites=sites)
        return cls(SeedFolder(path), hub)

    def run(self, trainers: Party):
        """From the first process to the last word, and to everybody's end; all that the aggregator said."""
        self._await(self.hub, self._start(self.hub, "initial-model", AGGREGATOR))
        running = [(self.hub, self._start(self.hub, "aggregator", AGGREGATOR))]
        running += [(trainers, self._start(trainers, "trainer", name)) for name in HOSPITALS]
        for whose, pid in running:
            self._await(whose, pid)
        key = self.folder.read_roster().aggregator
        with closing(open_log(self.folder.log)) as log:
            return [from_aggregator(record, key=key, job="job") for record in follow(log, topics.rounds("job"), 0)]

    def _start(self, whose: Party, program, party):
        return whose.start(
            program=program, settings=str(self.folder.settings(party)), output=str(self.folder.output(party))
        )

    def _await(self, whose: Party, pid):
        assert whose.wait(pid=pid, seconds=TOO_LONG) == 0, self._printed()

    def _printed(self):
        outputs = [self.folder.output(party) for party in (AGGREGATOR, *HOSPITALS)]
        return "\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in outputs if path.exists())


@pytest.fixture(scope="module")
def plain(builds, tmp_path_factory):
    """By version: what programs of jobs without privacy are forked from."""
    folder = tmp_path_factory.mktemp("plain")
    with (
        builds[OLD].party(folder / OLD, "programs", TASK) as old,
        builds[NEW].party(folder / NEW, "programs", TASK) as new,
    ):
        yield {OLD: old, NEW: new}


@pytest.fixture
def private(builds, tmp_path):
    """By version: the same for private ones, which the task's code is not to be part of."""
    module = "consilia_workers.privacy.preload"
    with (
        builds[OLD].party(tmp_path / OLD, "programs", module) as old,
        builds[NEW].party(tmp_path / NEW, "programs", module) as new,
    ):
        yield {OLD: old, NEW: new}


def model_of(said):
    finished = said[-1]
    assert isinstance(finished, JobFinished)
    assert finished.outcome == "Succeeded"
    return finished.model


@pytest.fixture(scope="module")
def model(plain, tmp_path_factory):
    """What comes out where all are of this version."""
    return model_of(Job.prepared(tmp_path_factory.mktemp("one") / "run", plain[NEW], SPEC).run(plain[NEW]))


@pytest.mark.parametrize(("hub", "trainers"), [(OLD, NEW), (NEW, OLD)])
def test_the_model_is_that_of_one_version(plain, model, tmp_path, hub, trainers):
    assert model_of(Job.prepared(tmp_path / "run", plain[hub], SPEC).run(plain[trainers])) == model


class Study:
    """Private jobs that spend of the same ledgers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def job(self, name, hub: Party):
        """`consilia run` lays its folders so: the ledgers lie beside those of the jobs."""
        place = self.folder / "study" / name / "seed-0"
        return Job.prepared(place, hub, {**SPEC, **PRIVATE}, public_size=100, budget=BUDGET)

    def ledger(self, hospital):
        """Read, and so verified, by this version."""
        return read_ledger(self.folder / "ledgers" / hospital, now=datetime.now(UTC))

    @contextmanager
    def answering(self, job: Job, keeper: Party, hospital):
        """The hospital's ledger is kept by a program of that version, which its trainer asks over HTTP."""
        settings, output = self.folder / "ledger.json", self.folder / "ledger.log"
        key = self.folder / "ledgers" / f"{hospital}.pem"
        told = {"folder": str(self.folder / "ledgers" / hospital), "key": str(key), "hospital": hospital, "port": 0}
        settings.write_text(json.dumps(told))
        pid = keeper.start(program="ledger", settings=str(settings), output=str(output))
        file = job.folder.settings(hospital)
        file.write_text(json.dumps(json.loads(file.read_text()) | {"ledger": f"http://127.0.0.1:{port(output)}"}))
        yield
        keeper.end(pid=pid)


def port(output):
    """Which one the program took, as it says."""
    deadline = time.monotonic() + TOO_LONG
    while not (found := output.exists() and re.search(r"ledger on port (\d+)", output.read_text())):
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.05)
    return found[1]


def test_private_jobs_run_and_the_next_version_continues_the_ledgers(private, tmp_path):
    """At first one hospital's ledger is kept by this version already, while its trainer goes on as it was begun."""
    study = Study(tmp_path)
    first, second = study.job("first", private[NEW]), study.job("second", private[OLD])
    with study.answering(first, private[NEW], "riverside"):
        counted = last_round(first.run(private[OLD]))
    assert {each.hospital: 0 < float(each.epsilon) <= 2 for each in counted} == dict.fromkeys(HOSPITALS, True)
    before = {name: study.ledger(name) for name in HOSPITALS}
    assert {each.hospital for each in last_round(second.run(private[NEW]))} == set(HOSPITALS)
    for name in HOSPITALS:
        after, known = study.ledger(name), len(before[name].entries)
        assert after.entries[:known] == before[name].entries
        assert [each.round for each in after.entries[known:] if each.type == "Reserved"] == [1, 2, 3]
        assert after.account("breast-cancer").spent.max() > before[name].account("breast-cancer").spent.max()


def last_round(said):
    """The updates that counted."""
    return [each for each in said if isinstance(each, RoundClosed)][-1].cohort
