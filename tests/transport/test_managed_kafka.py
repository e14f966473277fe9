"""Managed Kafka as pods would run it, on loopback: jobs let in, kept apart, found again, and let go of."""

import asyncio
from contextlib import closing
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from api_server_in_memory import ApiServerInMemory
from brokers_on_loopback import BrokersOnLoopback, resolving
from transports import HUB, Clock, federated_job, prepare, surroundings

from consilia.api import FederatedJob
from consilia.errors import LogAccessError, LogUnavailableError
from consilia.kafka.connection import make_admin
from consilia.kafka.errors import plain_errors
from consilia.kafka.settings import KafkaSettings
from consilia.log import topics
from consilia.log.opening import open_log
from consilia_operator.kinds import PVC, SECRET, STATEFUL_SET
from consilia_operator.names import KAFKA
from consilia_operator.transport.credentials import by_password
from consilia_operator.transport.foundation import Foundations
from consilia_operator.transport.interface import GoneJob, NotReady, Ready
from consilia_operator.transport.managed import Managed
from consilia_operator.transport.managed_objects import selector
from consilia_operator.transport.secrets import encoded

pytestmark = [pytest.mark.slow, pytest.mark.long]
MANY, LATER = 40, 61
PATIENCE_SECONDS = 90.0


class World:
    """A hub's namespace with its Kafka, and an operator that looks after it."""

    def __init__(self, folder, brokers=1):
        self.folder, self.api, self.clock = folder, ApiServerInMemory(), Clock()
        # Brokers have the real time: what is issued now must be due, and the next one valid, when this goes forward.
        self.clock.now = datetime.now(UTC) - timedelta(days=LATER, minutes=10)
        self.new_operator()
        self.disks = 0
        self.new_disk()
        prepare(self.transport, self.job("first", brokers=brokers))
        self.brokers = BrokersOnLoopback(self.api, HUB, folder)

    def new_operator(self):
        self.transport = Managed(self.api, surroundings(self.clock))

    def new_disk(self):
        self.api.put(self._claim() | {"metadata": self._claim()["metadata"] | {"name": f"data-{self.disks}"}})
        self.disks += 1

    def _claim(self):
        metadata = {"name": "data", "namespace": HUB, "labels": selector()}
        return {"apiVersion": PVC.api_version, "kind": PVC.kind, "metadata": metadata}

    def job(self, name, number=0, brokers=None):
        transport = {"managed": {"brokers": brokers}} if brokers else None
        return federated_job(name, uid=f"{number:08x}-0000-4000-8000-000000000000", transport=transport)

    def admitted(self, job, hospitals=("riverside", "lakeside")):
        """Asked as often as it takes, as the operator does: a broker that was killed is missed after some seconds."""
        deadline = monotonic() + PATIENCE_SECONDS
        while isinstance(answer := prepare(self.transport, job, hospitals), NotReady):
            assert answer.reason == "KafkaUnavailable", answer
            assert monotonic() < deadline, answer
        return {party: self.settings(job, party, each) for party, each in answer.parties.items()}

    def settings(self, job, party, credentials):
        folder = self.folder / "parties" / job["metadata"]["uid"] / party
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in credentials.files.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)
        return KafkaSettings.load(folder / "kafka.json")

    def keep_up(self, *over):
        return asyncio.run(self.transport.keep_up(HUB, over))

    def orphans(self, *living):
        return asyncio.run(self.transport.orphans(HUB, living.__contains__))

    def retire(self, job):
        gone = GoneJob(namespace=HUB, name=job["metadata"]["name"], log_name=log_name(job))
        asyncio.run(self.transport.retire(gone))


def log_name(job):
    return FederatedJob.model_validate(job).log_name


def visible(settings):
    with plain_errors(settings, doing="list topics"), make_admin(settings) as admin:
        return {topic for topic in admin.list_topics() if not topic.startswith("__")}


def begin(settings, job):
    """What an aggregator does first."""
    with closing(open_log(f"kafka://{settings.ca.parent / 'kafka.json'}")) as log:
        log.create_topic(topics.rounds(log_name(job)))
        log.create_topic(topics.model(log_name(job)), compacted=True)
        for hospital in ("riverside", "lakeside"):
            log.create_topic(topics.up(hospital, log_name(job)))


@pytest.fixture(scope="module")
def world(kafka_runtime, tmp_path_factory):
    made = World(tmp_path_factory.mktemp("managed"))
    try:
        made.brokers.start()
        with resolving(made.brokers.addresses):
            yield made
    finally:
        made.brokers.kill()


def test_each_party_gets_in_and_sees_no_more_than_its_own(world):
    job = world.job("apart", 1)
    parties = world.admitted(job)
    begin(parties["aggregator"], job)
    name = log_name(job)
    assert visible(parties["riverside"]) == {topics.rounds(name), topics.model(name), topics.up("riverside", name)}
    assert visible(parties["aggregator"]) >= visible(parties["riverside"]) | visible(parties["lakeside"])


def test_one_jobs_aggregator_sees_nothing_of_another_job(world):
    one, other = world.job("one", 2), world.job("other", 3)
    begin(world.admitted(one)["aggregator"], one)
    assert not visible(world.admitted(other)["aggregator"]) & set(topics.of_job(log_name(one), on_the_brokers(world)))


def on_the_brokers(world):
    foundations = Foundations(world.api, surroundings(world.clock))
    reach = asyncio.run(foundations.existing(HUB))
    with reach.settings() as settings:
        return visible(settings)


def test_when_nothing_changed_one_look_at_the_api_server_is_all(world):
    job = world.job("cheap", 4)
    first = world.admitted(job)
    world.api.calls.clear()
    assert world.admitted(job) == first
    assert world.api.calls == [("get", "StatefulSet", HUB, KAFKA)]


def test_many_jobs_at_once_are_all_let_in(world):
    jobs = [world.job(f"many-{number}", 100 + number) for number in range(MANY)]

    async def at_once():
        return await asyncio.gather(*(world.transport.prepare(job, ["riverside", "lakeside"]) for job in jobs))

    answers = asyncio.run(at_once())
    assert all(isinstance(answer, Ready) for answer in answers), answers
    begin(world.settings(jobs[-1], "aggregator", answers[-1].parties["aggregator"]), jobs[-1])
    assert set(world.orphans()) >= {log_name(job) for job in jobs}


def test_what_is_left_of_a_job_that_is_gone_is_found_and_let_go_of_and_no_other_jobs(world):
    gone, stays = world.job("gone", 5), world.job("stays", 6)
    begin(world.admitted(gone)["aggregator"], gone)
    parties = world.admitted(stays)
    begin(parties["aggregator"], stays)
    assert log_name(gone) in world.orphans(log_name(stays))
    assert log_name(stays) not in world.orphans(log_name(stays))
    world.retire(gone)
    world.retire(gone)
    assert log_name(gone) not in world.orphans()
    assert not topics.of_job(log_name(gone), on_the_brokers(world))
    assert topics.rounds(log_name(stays)) in visible(parties["riverside"])
    with pytest.raises(LogAccessError):
        visible(world.settings(gone, "aggregator", prepared_before(world, gone)))


def prepared_before(world, job):
    """The credentials that the job's aggregator had, which outlive its user on Kafka."""
    old = KafkaSettings.load(world.folder / "parties" / job["metadata"]["uid"] / "aggregator" / "kafka.json")
    return by_password(old.bootstrap_servers, old.ca.read_bytes(), old.username, old.password.read_text())


def test_a_job_made_anew_under_the_same_name_is_another(world):
    first, again = world.job("again", 7), world.job("again", 8)
    begin(world.admitted(first)["aggregator"], first)
    parties = world.admitted(again)
    assert visible(parties["riverside"]) & {topics.rounds(log_name(again))} == set()
    assert visible(parties["aggregator"]) == set()


def test_an_operator_that_was_started_again_changes_no_password(world):
    job = world.job("kept", 9)
    before = world.admitted(job)
    words = {party: each.password.read_text() for party, each in before.items()}
    world.new_operator()
    after = world.admitted(job)
    assert {party: each.password.read_text() for party, each in after.items()} == words
    begin(after["aggregator"], job)


def test_a_password_that_was_changed_in_its_secret_is_told_to_kafka(world):
    job = world.job("changed", 10)
    world.admitted(job)
    name = f"{KAFKA}-user-lakeside"
    world.api.put(world.api.there(SECRET, HUB, name) | {"data": encoded({"password": b"a-new-one"})})
    world.clock.forward(seconds=61)
    after = world.admitted(job)["lakeside"]
    assert after.password.read_text() == "a-new-one"
    assert topics.rounds(log_name(job)) not in visible(after)


def test_users_and_rules_that_went_with_a_disk_are_there_again_with_the_same_passwords(world):
    job = world.job("lost", 11)
    before = world.admitted(job)["riverside"].password.read_text()
    world.brokers.kill()
    world.brokers.lose_disks()
    world.new_disk()
    world.brokers.start()
    world.clock.forward(seconds=61)
    parties = world.admitted(job)
    assert parties["riverside"].password.read_text() == before
    begin(parties["aggregator"], job)
    assert topics.rounds(log_name(job)) in visible(parties["riverside"])


def test_with_new_certificates_brokers_and_clients_still_find_one_another(world):
    job = world.job("renewed", 12)
    world.admitted(job)
    world.clock.forward(days=LATER)
    world.admitted(job)
    world.brokers.kill()
    world.brokers.start()
    begin(world.admitted(job)["aggregator"], job)


def test_a_job_that_is_over_is_let_in_again_by_a_broker_that_forgot_it(world):
    job = world.job("over", 13)
    world.admitted(job)
    world.brokers.kill()
    world.brokers.lose_disks()
    world.new_disk()
    world.brokers.start()
    world.clock.forward(seconds=61)
    aggregator = world.settings(job, "aggregator", prepared_before(world, job))
    with pytest.raises(LogAccessError):
        visible(aggregator)
    assert world.keep_up(job) is None
    log = open_log(f"kafka://{aggregator.ca.parent / 'kafka.json'}")
    log.create_topic(topics.model(log_name(job)), compacted=True)
    log.close()
    assert visible(aggregator) == {topics.model(log_name(job))}
    world.api.calls.clear()
    assert world.keep_up(job) is None
    assert world.api.calls == [("get", "StatefulSet", HUB, KAFKA)] * 2


def test_certificates_are_renewed_on_the_brokers_though_no_job_asks_for_the_log(world):
    before = pod_template(world)
    assert world.keep_up() is None
    assert pod_template(world) == before
    world.clock.forward(days=LATER)
    assert world.keep_up() is None
    assert pod_template(world) != before


def pod_template(world):
    return world.api.there(STATEFUL_SET, HUB, KAFKA)["spec"]["template"]


def test_a_kafka_that_somebody_deleted_is_not_made_again_for_jobs_that_are_over():
    api = ApiServerInMemory()
    transport = Managed(api, surroundings(Clock()))
    assert asyncio.run(transport.keep_up(HUB, [federated_job("over")])) is None
    assert [call for call in api.calls if call[0] != "get"] == []


def until_it_works(act):
    """As a program that ended with "later" is started again: a dead broker is announced for some seconds yet."""
    deadline = monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except LogUnavailableError:
            if monotonic() > deadline:
                raise


def test_three_brokers_go_on_without_one(kafka_runtime, tmp_path):
    world = World(tmp_path, brokers=3)
    try:
        world.brokers.start()
        with resolving(world.brokers.addresses):
            world.admitted(world.job("before", 1))
            world.brokers.kill(0)
            job = world.job("after", 2)
            settings = world.admitted(job)["aggregator"]
            until_it_works(lambda: begin(settings, job))
            assert topics.rounds(log_name(job)) in until_it_works(lambda: visible(settings))
    finally:
        world.brokers.kill()
