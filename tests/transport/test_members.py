"""Hospitals in other clusters on a real managed Kafka: a door of their own, a certificate for it, and no more."""

import asyncio
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from time import time

import pytest
from api_server_in_memory import ApiServerInMemory
from brokers_on_loopback import BrokersOnLoopback, resolving
from transports import HUB, Clock, federated_job, prepare, surroundings

from consilia.certificates import Credentials, new_key, request_certificate
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
from consilia_operator.transport.administration import enrolled
from consilia_operator.transport.credentials import by_certificate
from consilia_operator.transport.interface import NotReady
from consilia_operator.transport.managed import Managed

pytestmark = [pytest.mark.slow, pytest.mark.long]
OUTSIDE = {"type": "LoadBalancer", "host": "kafka-{broker}.hub.example", "port": 9096}
NAMES = ("riverside", "lakeside")


class World:
    """A hub with its Kafka, and hospitals that were admitted to it."""

    def __init__(self, folder):
        self.folder, self.api, self.clock = folder, ApiServerInMemory(), Clock()
        self.clock.now = datetime.now(UTC)
        self.transport = Managed(self.api, surroundings(self.clock, outside=OUTSIDE))
        prepare(self.transport, federated_job("first"))
        self.brokers = BrokersOnLoopback(self.api, HUB, folder)
        self.keys = {name: new_key() for name in NAMES}
        self.identities = {name: Identity.generate(name) for name in (*NAMES, HUB)}
        self.members = {}

    def start(self):
        self.brokers.start()
        outside = {f"kafka-{n}.hub.example": each for n, each in enumerate(self.brokers.addresses.values())}
        return resolving(self.brokers.addresses | outside)

    def admit(self, name, before=None):
        request = request_certificate(self.keys[name], name)
        found = asyncio.run(self.transport.admit(HUB, name, request, before))
        assert not isinstance(found, NotReady), found
        self.members[name] = found
        return found

    def expel(self, name):
        asyncio.run(self.transport.expel(HUB, name))

    def listed(self):
        return set(asyncio.run(self.transport.members(HUB)))

    def settings(self, name, *, certificate=None, key=None, servers=None, folder=None):
        """How a hospital reaches the log; or how somebody tries to who has other papers."""
        member = self.members[name]
        own = certificate or member.certificate, key or key_pem(self.keys[name])
        return self.laid(folder or name, by_certificate(servers or member.servers, member.trust, *own))

    def laid(self, folder, credentials):
        place = self.folder / "parties" / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, content in credentials.files.items():
            (place / name).write_bytes(content)
            (place / name).chmod(0o600)
        return KafkaSettings.load(place / "kafka.json").model_copy(update={"connect_seconds": 5.0})

    def hub(self):
        found = asyncio.run(self.transport.own_way(HUB))
        return self.laid("hub", found)

    @contextmanager
    def mailbox(self, settings, name, who):
        with closing(open_log(f"kafka://{settings.ca.parent / 'kafka.json'}")) as log:
            yield log, Mailbox(log, name, self.identities[who])


@pytest.fixture(scope="module")
def world(kafka_runtime, tmp_path_factory):
    made = World(tmp_path_factory.mktemp("members"))
    try:
        with made.start():
            for name in NAMES:
                made.admit(name)
            yield made
    finally:
        made.brokers.kill()


def recall(hospital, serial=1):
    return Recall(hub=HUB, hospital=hospital, serial=serial, issued=time(), uid="u-1")


def report(hospital):
    return Report(hub=HUB, hospital=hospital, serial=1, issued=time(), version="1", heard=1, interval=30)


def visible(settings):
    with plain_errors(settings, doing="list topics"), make_admin(settings) as admin:
        return {topic for topic in admin.list_topics() if not topic.startswith("__")}


def test_letters_go_both_ways(world):
    with world.mailbox(world.hub(), topics.HUB, HUB) as (_, hub):
        hub.send([Posted(topics.offers(name), recall(name)) for name in NAMES])
        own = world.settings("riverside")
        with world.mailbox(own, topics.correspondent("riverside"), "riverside") as (_, hospital):
            (record,) = hospital.receive({topics.offers("riverside"): 0}, 60)
            key = world.identities[HUB].public()
            assert read_offer(record, hub=HUB, key=key, hospital="riverside", now=time()).uid == "u-1"
            hospital.send([Posted(topics.reports("riverside"), report("riverside"))])
        (record,) = hub.receive({topics.reports("riverside"): 0}, 60)
        key = world.identities["riverside"].public()
        assert read_report(record, hub=HUB, key=key, hospital="riverside", now=time()).heard == 1


def test_a_hospital_sees_its_own_letters_and_nobody_elses(world):
    assert visible(world.settings("riverside")) == {topics.offers("riverside"), topics.reports("riverside")}


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        (topics.offers("riverside"), topics.correspondent("riverside")),
        (topics.offers("lakeside"), topics.correspondent("riverside")),
        (topics.reports("lakeside"), topics.correspondent("riverside")),
        (topics.reports("riverside"), topics.correspondent("lakeside")),
        (topics.reports("riverside"), topics.HUB),
    ],
    ids=["its own offers", "another's offers", "another's reports", "as another", "as the hub"],
)
def test_a_hospital_writes_nowhere_but_its_own_reports(world, topic, name):
    with pytest.raises(LogAccessError), world.mailbox(world.settings("riverside"), name, "riverside") as (_, own):
        own.send([Posted(topic, report("riverside"))])


def test_a_hospital_reads_nobody_elses_offers(world):
    settings = world.settings("riverside")
    with pytest.raises(LogAccessError), closing(open_log(f"kafka://{settings.ca.parent / 'kafka.json'}")) as log:
        list(follow(log, topics.offers("lakeside"), 0))


def test_a_stolen_certificate_without_its_key_opens_nothing(world):
    settings = world.settings("riverside", certificate=world.members["lakeside"].certificate, folder="thief")
    with pytest.raises(ConsiliaError):
        visible(settings)


def test_a_certificate_of_another_authority_opens_nothing(world):
    """Also if it says the operator's own name: on this door only the members' authority is believed."""
    own = world.transport._foundations._known[HUB].keys.operator
    settings = world.settings("riverside", certificate=own["tls.crt"], key=own["tls.key"], folder="operator")
    with pytest.raises(ConsiliaError):
        visible(settings)


def test_a_hospitals_certificate_opens_no_other_door(world):
    found = world.transport._foundations._known[HUB].plan
    for door in (found.peers, found.clients):
        settings = world.settings("riverside", servers=door, folder="door")
        with pytest.raises(ConsiliaError):
            visible(settings)


def test_the_brokers_names_are_those_that_hospitals_call(world):
    assert world.members["riverside"].servers == ("kafka-0.hub.example:9096",)
    broker = world.transport._foundations._known[HUB].keys.brokers
    names = Credentials.parse(broker["tls.crt"], broker["tls.key"], "it").certificate.extensions
    assert "kafka-0.hub.example" in str([each.value for each in names])


def test_what_is_well_is_left_as_it_is_and_another_key_gets_another_certificate(world):
    before = world.members["lakeside"].certificate
    assert world.admit("lakeside", before).certificate == before
    world.keys["lakeside"] = new_key()
    after = world.admit("lakeside", before).certificate
    assert after != before
    assert visible(world.settings("lakeside"))


def test_a_job_lets_members_in_with_the_certificates_that_they_have(world):
    job = federated_job("study", uid="00000009-0000-4000-8000-000000000000")
    answer = asyncio.run(world.transport.prepare(job, (), NAMES))
    assert set(answer.parties) == {"aggregator"}
    aggregator = world.laid("aggregator", answer.parties["aggregator"])
    name = f"study.{job['metadata']['uid'][:8]}"
    with closing(open_log(f"kafka://{aggregator.ca.parent / 'kafka.json'}")) as log:
        log.create_topic(topics.rounds(name))
        log.create_topic(topics.model(name), compacted=True)
        log.create_topic(topics.up("riverside", name))
    seen = visible(world.settings("riverside"))
    assert {topics.rounds(name), topics.model(name), topics.up("riverside", name)} <= seen


def test_kafka_tells_at_once_who_needs_not_be_enrolled_anew(world):
    reach = world.transport._foundations._known[HUB].reach
    assert enrolled(reach) == set(NAMES)
    world.expel("lakeside")
    assert enrolled(reach) == {"riverside"}
    world.admit("lakeside")
    assert enrolled(reach) == set(NAMES)


def test_who_is_expelled_can_do_nothing_from_then_on_also_where_it_is_connected(world):
    settings = world.settings("riverside")
    with world.mailbox(settings, topics.correspondent("riverside"), "riverside") as (_, own):
        own.send([Posted(topics.reports("riverside"), report("riverside"))])
        assert world.listed() == {"lakeside", "riverside"}
        world.expel("riverside")
        assert world.listed() == {"lakeside"}
        with pytest.raises(ConsiliaError):
            own.send([Posted(topics.reports("riverside"), report("riverside"))])
    assert visible(settings) == set()
    world.admit("riverside")
    assert visible(settings)
