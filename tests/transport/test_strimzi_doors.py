"""Hospitals in other clusters on a real Kafka that is set up as Strimzi would: who comes in, and how far."""

import asyncio
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from time import time

import pytest
from api_server_in_memory import ApiServerInMemory
from brokers_on_loopback import resolving
from strimzi_on_loopback import StrimziOnLoopback
from transports import HUB, Clock, federated_job, surroundings

from consilia.api import FederatedJob
from consilia.certificates import create_authority, issue_client, new_key, request_certificate
from consilia.enrolment.keeping import key_pem
from consilia.errors import ConsiliaError, LogAccessError
from consilia.kafka.connection import make_admin
from consilia.kafka.errors import plain_errors
from consilia.kafka.settings import KafkaSettings
from consilia.log import follow, topics
from consilia.log.opening import open_log
from consilia.wire.correspondence import Recall, Report, read_offer, read_report
from consilia.wire.identity import Identity
from consilia_operator.correspondence.mailbox import Mailbox, Posted
from consilia_operator.kinds import SECRET
from consilia_operator.transport.authorities import Authorities
from consilia_operator.transport.credentials import by_certificate
from consilia_operator.transport.interface import Credentials, Ready
from consilia_operator.transport.membership import Membership
from consilia_operator.transport.secrets import decoded
from consilia_operator.transport.strimzi import Strimzi

pytestmark = [pytest.mark.slow, pytest.mark.long]
NAMES = ("riverside", "lakeside")


class World:
    """A hub whose log is Strimzi's, and hospitals that were admitted to it."""

    def __init__(self, folder, runtime):
        self.folder, self.api, self.clock = folder, ApiServerInMemory(), Clock()
        self.clock.now = datetime.now(UTC)
        self.strimzi = StrimziOnLoopback(self.api, HUB, "events", folder, runtime)
        outside = {"log": "Strimzi", "strimzi": {"cluster": "events"}}
        outside |= {"type": "NodePort", "host": "hub.example", "port": self.strimzi.port}
        self.transport = Strimzi(self.api, surroundings(self.clock, outside=outside))
        self.keys = {name: new_key() for name in NAMES}
        self.identities = {name: Identity.generate(name) for name in (*NAMES, HUB)}
        self.members = {}

    def until(self, wanted, ask):
        for _ in range(6):
            found = asyncio.run(ask())
            if isinstance(found, wanted):
                return found
            self.strimzi.answer()
        raise AssertionError(found)

    def admit(self, name):
        request = request_certificate(self.keys[name], name)
        self.members[name] = self.until(Membership, lambda: self.transport.admit(HUB, name, request, None))

    def expel(self, name):
        asyncio.run(self.transport.expel(HUB, name))
        self.strimzi.answer()

    def prepare(self, job, members):
        return self.until(Ready, lambda: self.transport.prepare(job, (), members))

    def authorities(self):
        return Authorities.read(decoded(self.api.there(SECRET, HUB, "consilia-kafka-members-ca")))

    def settings(self, name, own=None, folder=None):
        """How a hospital reaches the log; or how somebody tries to who has other papers."""
        member = self.members[name]
        certificate, key = own or (member.certificate, key_pem(self.keys[name]))
        return self.laid(folder or name, by_certificate(member.servers[:1], member.trust, certificate, key))

    def laid(self, folder, credentials):
        place = self.folder / "parties" / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, content in credentials.files.items():
            (place / name).write_bytes(content)
            (place / name).chmod(0o600)
        return KafkaSettings.load(place / "kafka.json").model_copy(update={"connect_seconds": 5.0})

    def hub(self):
        return self.laid("hub", self.until(Credentials, lambda: self.transport.own_way(HUB)))

    @contextmanager
    def mailbox(self, settings, name, who):
        with closing(open_log(f"kafka://{settings.ca.parent / 'kafka.json'}")) as log:
            yield Mailbox(log, name, self.identities[who])


@pytest.fixture(scope="module")
def world(kafka_runtime, tmp_path_factory):
    made = World(tmp_path_factory.mktemp("strimzi"), kafka_runtime)
    try:
        with resolving({"hub.example": "127.0.0.1"}):
            for name in NAMES:
                made.admit(name)
            yield made
    finally:
        made.strimzi.broker.kill()


def recall(hospital):
    return Recall(hub=HUB, hospital=hospital, serial=1, issued=time(), uid="u-1")


def report(hospital):
    return Report(hub=HUB, hospital=hospital, serial=1, issued=time(), version="1", heard=1, interval=30)


def write(settings, name, topic, value):
    with closing(open_log(f"kafka://{settings.ca.parent / 'kafka.json'}")) as log:
        producer = log.producer(name)
        with producer.transaction() as transaction:
            transaction.append(topic, value)


def read(settings, topic):
    with closing(open_log(f"kafka://{settings.ca.parent / 'kafka.json'}")) as log:
        return [record.value for record in follow(log, topic, 0)]


def visible(settings):
    with plain_errors(settings, doing="list topics"), make_admin(settings) as admin:
        return {topic for topic in admin.list_topics() if not topic.startswith("__")}


def test_letters_go_both_ways_with_the_rules_that_the_users_hold(world):
    with world.mailbox(world.hub(), topics.HUB, HUB) as hub:
        hub.send([Posted(topics.offers(name), recall(name)) for name in NAMES])
        assert len(hub.receive({topics.offers("riverside"): 0}, 0)) == 1, "what it has said"
        own = world.settings("riverside")
        with world.mailbox(own, topics.correspondent("riverside"), "riverside") as hospital:
            (record,) = hospital.receive({topics.offers("riverside"): 0}, 60)
            key = world.identities[HUB].public()
            assert read_offer(record, hub=HUB, key=key, hospital="riverside", now=time()).uid == "u-1"
            hospital.send([Posted(topics.reports("riverside"), report("riverside"))])
        (record,) = hub.receive({topics.reports("riverside"): 0}, 60)
        key = world.identities["riverside"].public()
        assert read_report(record, hub=HUB, key=key, hospital="riverside", now=time()).heard == 1


def test_the_hub_itself_reads_reports_and_does_not_write_them(world):
    settings = world.hub()
    assert visible(settings) == {of(name) for of in (topics.offers, topics.reports) for name in NAMES}
    with pytest.raises(LogAccessError), world.mailbox(settings, topics.HUB, "riverside") as hub:
        hub.send([Posted(topics.reports("riverside"), report("riverside"))])


def test_a_hospital_sees_its_own_letters_and_nobody_elses(world):
    settings = world.settings("riverside")
    assert visible(settings) == {topics.offers("riverside"), topics.reports("riverside")}
    with pytest.raises(LogAccessError):
        read(settings, topics.offers("lakeside"))


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        (topics.offers("riverside"), topics.correspondent("riverside")),
        (topics.reports("lakeside"), topics.correspondent("riverside")),
        (topics.reports("riverside"), topics.correspondent("lakeside")),
        (topics.reports("riverside"), topics.HUB),
    ],
    ids=["its own offers", "another's reports", "as another", "as the hub"],
)
def test_a_hospital_writes_nowhere_but_its_own_reports(world, topic, name):
    with pytest.raises(LogAccessError), world.mailbox(world.settings("riverside"), name, "riverside") as own:
        own.send([Posted(topic, report("riverside"))])


def papers(authority, name):
    made = issue_client(authority, name, lasts=timedelta(days=1))
    return made.certificate_pem, made.key_pem


def test_a_strangers_certificate_for_a_hospitals_name_opens_nothing(world):
    stranger = papers(create_authority("Consilia managed Kafka", lasts=timedelta(days=1)), "riverside")
    with pytest.raises(ConsiliaError):
        visible(world.settings("riverside", stranger, "stranger"))


def test_a_stolen_certificate_without_its_key_opens_nothing(world):
    own = world.members["lakeside"].certificate, key_pem(world.keys["riverside"])
    with pytest.raises(ConsiliaError):
        visible(world.settings("riverside", own, "thief"))


def test_a_certificate_of_strimzis_authority_for_servers_opens_nothing(world):
    own = papers(world.strimzi.broker.security.authority, "riverside")
    with pytest.raises(ConsiliaError):
        visible(world.settings("riverside", own, "server"))


@pytest.mark.parametrize("name", ["nobody", "consilia.hub", "ANONYMOUS"])
def test_a_certificate_of_ours_for_another_name_may_nothing(world, name):
    settings = world.settings("riverside", papers(world.authorities().signer, name), name)
    assert visible(settings) == set()
    with pytest.raises(LogAccessError), world.mailbox(settings, topics.correspondent("riverside"), "riverside") as own:
        own.send([Posted(topics.reports("riverside"), report("riverside"))])


def test_a_job_lets_members_in_with_the_certificates_that_they_have(world):
    uid = "00000009-0000-4000-8000-000000000000"
    job = federated_job("study", uid=uid, transport={"strimzi": {"cluster": "events"}})
    answer = world.prepare(job, NAMES)
    assert set(answer.parties) == {"aggregator"}
    name = FederatedJob.model_validate(job).log_name
    seen = visible(world.settings("riverside"))
    assert {topics.rounds(name), topics.model(name), topics.up("riverside", name)} <= seen
    assert topics.up("lakeside", name) not in seen
    aggregator = world.laid("aggregator", answer.parties["aggregator"])
    rounds, up = topics.rounds(name), topics.up("riverside", name)
    write(aggregator, topics.aggregator(name), rounds, b"opened")
    assert read(world.settings("riverside"), rounds) == [b"opened"]
    write(world.settings("riverside"), topics.trainer("riverside", name), up, b"update")
    assert read(aggregator, up) == [b"update"]


def test_who_is_expelled_can_do_nothing_from_then_on_also_where_it_is_connected(world):
    settings = world.settings("riverside")
    with world.mailbox(settings, topics.correspondent("riverside"), "riverside") as own:
        own.send([Posted(topics.reports("riverside"), report("riverside"))])
        world.expel("riverside")
        with pytest.raises(ConsiliaError):
            own.send([Posted(topics.reports("riverside"), report("riverside"))])
    assert visible(settings) == set()
    assert visible(world.settings("lakeside")), "nobody else"
    world.admit("riverside")
    assert {topics.offers("riverside"), topics.reports("riverside")} <= visible(world.settings("riverside"))
