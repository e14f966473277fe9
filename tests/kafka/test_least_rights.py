"""None of the rules can be left out: a job in which one is missing fails, and says which right it was."""

import uuid
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest
from worlds import LAYOUT, Clinic, make_job, model_file

from consilia.api import FederatedJob
from consilia.errors import LogAccessError
from consilia.kafka.access import Access
from consilia.kafka.acls import AclRule, Kind, Operation, Parties, Resource, rules
from consilia.kafka.connection import make_admin
from consilia.log import Log, topics
from consilia.log.opening import kafka_url, open_log
from consilia.wire.identity import Identity, Roster
from consilia_workers.aggregator import Aggregator
from consilia_workers.model_reader import ModelReader
from consilia_workers.rounds_reader import RoundsReader

UNIQUE = uuid.uuid4().hex[:8]
HOSPITAL = f"least-{UNIQUE}"
AGGREGATOR, WATCHER = f"aggregator-{HOSPITAL}", f"watcher-{HOSPITAL}"
PARTIES = Parties(
    aggregator=f"User:{AGGREGATOR}", hospitals={HOSPITAL: f"User:{HOSPITAL}"}, watchers=(f"User:{WATCHER}",)
)
ONCE = (Operation.CREATE, Resource(kind=rules("job", PARTIES)[0].resource.kind, name=topics.RETIRED))
"""Needed by the first job only that is ever retired on a cluster."""


class Hospital(Clinic):
    """Played by hand, in a job of another name."""

    def __post_init__(self):
        name = self.job.metadata.name
        self.topic = topics.up(self.identity.name, name)
        self.producer = self.log.producer(topics.trainer(self.identity.name, name))

    def joined(self, **changes):
        return super().joined(job=self.job.metadata.name, **changes)

    def update(self, opened, data, **changes):
        return super().update(opened, data, job=self.job.metadata.name, **changes)


@dataclass
class Life:
    """A job from its first topic to its last, everybody with credentials of their own, in this process."""

    job: FederatedJob
    urls: dict[str, str]
    stack: ExitStack
    folder: object

    def __post_init__(self):
        self.name = self.job.metadata.name
        self.keys = {name: Identity.generate(name) for name in (AGGREGATOR, HOSPITAL)}
        self.roster = Roster(self.keys[AGGREGATOR].public(), {HOSPITAL: self.keys[HOSPITAL].public()})

    def open(self, party: str) -> Log:
        return self.stack.enter_context(closing(open_log(self.urls[party])))

    def start(self) -> Aggregator:
        aggregator = Aggregator(self.job, self.open(AGGREGATOR), self.keys[AGGREGATOR], self.roster, self._initial)
        aggregator.recover()
        return aggregator

    def _initial(self):
        (self.folder / "initial").write_bytes(model_file())
        return self.folder / "initial"

    def run(self) -> None:
        aggregator, log = self.start(), self.open(HOSPITAL)
        hospital = Hospital(self.keys[HOSPITAL], log, self.job, self.roster)
        rounds = RoundsReader(log, self.name, self.roster.aggregator)
        models = ModelReader(log, topics.model(self.name), LAYOUT)
        hospital.join()
        aggregator.await_quorum()
        for number in (1, 2):
            opened = aggregator.open_round()
            assert log.wait({rounds.topic: rounds.offset}, 10)
            list(rounds.news())
            models.read(opened.model, number - 1)
            hospital.send(opened)
            aggregator.collect(opened)
            aggregator.close_round(opened)
            if number == 1:
                aggregator = self.start()
        aggregator.succeed({})
        assert list(RoundsReader(self.open(WATCHER), self.name, self.roster.aggregator).news())
        self._retire(self.open(AGGREGATOR))

    def _retire(self, log: Log) -> None:
        log.create_topic(topics.RETIRED, compacted=True)
        log.read(topics.RETIRED, 0)
        with log.producer(topics.aggregator(self.name)).transaction() as transaction:
            transaction.append(topics.RETIRED, b"{}", key=self.name)
        for topic in topics.of_job(self.name, log.topics()):
            log.delete_topic(topic)


@pytest.fixture(scope="module")
def urls(kafka_broker, tmp_path_factory):
    """How each party reaches the log; nobody waits long for what is denied."""
    folder = tmp_path_factory.mktemp("least")
    for party in (AGGREGATOR, HOSPITAL, WATCHER):
        settings = kafka_broker.user(party).model_copy(update={"delivery_seconds": 6.0})
        settings.save(folder / f"{party}.json")
    return {party: kafka_url(folder / f"{party}.json") for party in (AGGREGATOR, HOSPITAL, WATCHER)}


@pytest.fixture
def live(urls, kafka_settings, tmp_path):
    """Runs a whole job under all its rules but one: `live(without=rule)`."""

    def run(without: AclRule | None) -> None:
        name = f"least-{uuid.uuid4().hex[:8]}"
        job = make_job([HOSPITAL], aggregation={"strategy": "FedAdam"})
        job = job.model_copy(update={"metadata": job.metadata.model_copy(update={"name": name})})
        with closing(make_admin(kafka_settings)) as admin:
            access, wanted = Access(kafka_settings, admin), rules(name, PARTIES)
            left_out = {here for here, there in zip(wanted, rules("job", PARTIES), strict=True) if there == without}
            access.remove([each.rule for each in access.found() if each.rule in left_out])
            access.add([rule for rule in wanted if rule not in left_out])
        with ExitStack() as stack:
            Life(job, urls, stack, tmp_path).run()

    return run


def words(rule: AclRule) -> str:
    """For the names of the tests."""
    who = rule.principal.replace(HOSPITAL, "hospital").removeprefix("User:")
    return f"{who} {rule.operation} {rule.resource.name.replace(HOSPITAL, 'hospital')}"


@pytest.mark.slow
def test_with_all_of_them_a_job_lives_from_beginning_to_end(live):
    live(without=None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", [each for each in rules("job", PARTIES) if (each.operation, each.resource) != ONCE], ids=words
)
def test_without_one_of_them_it_fails_and_says_which_right_is_missing(live, rule):
    with pytest.raises(LogAccessError, match=rule.principal.removeprefix("User:")) as caught:
        live(without=rule)
    assert rule.operation in caught.value.message or "Describe" in caught.value.message
    if rule.resource.kind in (Kind.TOPIC, Kind.GROUP):
        assert f"{rule.resource.kind.lower()} {rule.resource.name.removesuffix('job')}" in caught.value.message
