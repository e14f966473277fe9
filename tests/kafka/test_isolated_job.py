"""A whole job, each party a process with credentials of its own, under exactly the rules and nothing more."""

import os
import subprocess
import sys
import uuid
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from worlds import make_job

from consilia.errors import LogAccessError, RecordGoneError
from consilia.kafka.access import Access
from consilia.kafka.acls import Parties, rules
from consilia.kafka.connection import make_admin
from consilia.kafka.probe import Probe
from consilia.kafka.rights import expected
from consilia.kafka.settings import KafkaSettings
from consilia.log import Log, topics
from consilia.log.opening import kafka_url, open_log
from consilia.wire.identity import Roster
from consilia.wire.messages import JobFinished, RoundClosed
from consilia_workers.local.folder import AGGREGATOR, SeedFolder
from consilia_workers.local.site import Site
from consilia_workers.rounds_reader import RoundsReader
from consilia_workers.settings import AggregatorSettings, TrainerSettings

SUPPORT = Path(__file__).parents[1] / "support"
ROUNDS = 2
WATCHER = "watcher"


@dataclass(frozen=True, slots=True)
class Isolated:
    """A job's folder, and how each of its parties reaches the cluster."""

    name: str
    folder: SeedFolder
    roster: Roster
    parties: Parties
    settings: dict[str, KafkaSettings]
    """By party: the aggregator, the hospitals, and the watcher."""

    @property
    def programs(self) -> list[str]:
        return [AGGREGATOR, *self.parties.hospitals]

    def log(self, party: str) -> Log:
        return open_log(self.url(party))

    def url(self, party: str) -> str:
        path = self.folder.path / f"{party}-kafka.json"
        self.settings[party].save(path)
        return kafka_url(path)

    def run(self) -> dict[str, int]:
        """All programs to their end; their exit codes."""
        with ExitStack() as stack:
            started = {party: self._start(party, stack) for party in self.programs}
            return {party: process.wait(120) for party, process in started.items()}

    def _start(self, party: str, stack: ExitStack) -> subprocess.Popen[bytes]:
        kind = AggregatorSettings if party == AGGREGATOR else TrainerSettings
        path = self.folder.settings(party)
        kind.load(path).model_copy(update={"log": self.url(party)}).save(path)
        program = "aggregator" if party == AGGREGATOR else "trainer"
        output = stack.enter_context(self.folder.output(party).open("w"))
        process = subprocess.Popen(
            [sys.executable, "-m", "consilia_workers", program, str(path)],
            env={**os.environ, "PYTHONPATH": str(SUPPORT)}, stdout=output, stderr=output,
        )  # fmt: skip
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    def words(self) -> str:
        return "\n".join(self.folder.output(party).read_text() for party in self.programs)


@pytest.fixture(scope="module")
def isolated(kafka_broker, tmp_path_factory):
    """One hospital, the aggregator and the watcher log in with passwords, the other hospital with a certificate."""
    unique = uuid.uuid4().hex[:8]
    names = [f"h{unique}", f"h{unique}-b"]
    job = make_job(names, task={"entrypoint": "drifting:Drifting"}, rounds={"count": ROUNDS, "deadlineSeconds": 60})
    job = job.model_copy(update={"metadata": job.metadata.model_copy(update={"name": f"job-{unique}"})})
    parties = Parties(
        aggregator=f"User:aggregator-{unique}",
        hospitals={name: f"User:{name}" for name in names},
        watchers=(f"User:watcher-{unique}",),
    )
    settings = {
        AGGREGATOR: kafka_broker.user(f"aggregator-{unique}"),
        names[0]: kafka_broker.user(names[0]),
        names[1]: kafka_broker.certificate(names[1]),
        WATCHER: kafka_broker.user(f"watcher-{unique}"),
    }
    with closing(make_admin(kafka_broker.settings)) as admin:
        Access(kafka_broker.settings, admin).add(rules(job.metadata.name, parties))
    folder = SeedFolder(tmp_path_factory.mktemp("isolated"))
    roster = folder.prepare(job, [Site(hospital=name, path=None, parameters={}) for name in names])
    return Isolated(job.metadata.name, folder, roster, parties, settings)


@pytest.fixture(scope="module")
def ended(isolated):
    """The exit codes of its programs."""
    return isolated.run()


def test_the_rules_are_enough_for_the_whole_job(isolated, ended):
    assert set(ended.values()) == {0}, isolated.words()


def test_who_may_only_watch_hears_how_it_went(isolated, ended):
    with closing(isolated.log(WATCHER)) as log:
        heard = [each.message for each in RoundsReader(log, isolated.name, isolated.roster.aggregator).news()]
    assert [len(each.cohort) for each in heard if isinstance(each, RoundClosed)] == [2] * ROUNDS
    assert isinstance(heard[-1], JobFinished)
    assert heard[-1].outcome == "Succeeded"


@pytest.mark.parametrize("number", [0, 1, 2], ids=["aggregator", "password", "certificate"])
def test_a_check_finds_each_party_as_it_should_be(isolated, ended, number):
    principal = [isolated.parties.aggregator, *isolated.parties.hospitals.values()][number]
    rights = expected(rules(isolated.name, isolated.parties), principal, isolated.name)
    with closing(Probe(isolated.settings[isolated.programs[number]])) as probe:
        checked = probe.check(rights)
    assert checked.passed, [each for each in checked.tried if not each.passed]


def test_a_hospital_may_wait_for_its_topic_but_not_make_it(isolated, ended):
    hospital = isolated.programs[1]
    with closing(isolated.log(hospital)) as log:
        with pytest.raises(LogAccessError, match="may not Create topic"):
            log.create_topic(topics.up(hospital, "another"))
        with pytest.raises(LogAccessError, match="may not DescribeConfigs"):
            log.create_topic(topics.up(hospital, isolated.name))


def test_the_aggregator_has_let_go_of_the_uploads_and_can_clear_the_job_away(isolated, ended):
    with closing(isolated.log(AGGREGATOR)) as log:
        own = topics.of_job(isolated.name, log.topics())
        assert len(own) == 5
        for hospital in isolated.parties.hospitals:
            with pytest.raises(RecordGoneError):
                log.record(topics.up(hospital, isolated.name), 0)
        for topic in own:
            log.delete_topic(topic)
        assert topics.of_job(isolated.name, log.topics()) == []
