"""Hospitals in other clusters over Strimzi's Kafka: what is asked of Strimzi for them, and when none may come."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
import strimzi_by_hand
from api_server_in_memory import ApiServerInMemory
from cryptography import x509
from strimzi_by_hand import a_kafka, shared_with, with_a_door
from structural import complaints, definitions
from transports import HUB, Clock, federated_job, surroundings, waits_for

from consilia.api import FederatedJob
from consilia.certificates import new_key, request_certificate
from consilia.log import topics
from consilia_operator.kinds import SECRET, STRIMZI_KAFKA, STRIMZI_TOPIC, STRIMZI_USER
from consilia_operator.settings import Outside
from consilia_operator.transport import strimzi_outside
from consilia_operator.transport.authorities import Authorities, parse_bundle
from consilia_operator.transport.interface import Credentials, GoneJob, NotReady, Ready
from consilia_operator.transport.membership import Membership
from consilia_operator.transport.secrets import decoded, encoded
from consilia_operator.transport.strimzi import Strimzi
from consilia_operator.transport.strimzi_objects import Place, kafka

DEFINITIONS = definitions(Path(__file__).parent / "crds")
PLACE = Place(namespace=HUB, cluster="events")
STRIMZI = {"log": "Strimzi", "strimzi": {"cluster": "events"}}
BY_NODE = STRIMZI | {"type": "NodePort", "host": "hub.example", "port": 30093}
BY_BALANCER = STRIMZI | {"type": "LoadBalancer", "host": "kafka-{broker}.hub.example", "port": 9443}
THEIRS = STRIMZI | {"strimzi": {"cluster": "events", "namespace": "kafka"}}
ELSEWHERE = Place(namespace="kafka", cluster="events")


class World:
    def __init__(self, *there, outside=BY_NODE):
        self.api, self.clock, self.keys, self.requests = ApiServerInMemory(), Clock(), {}, {}
        self.clock.now = datetime.now(UTC)
        self.transport = Strimzi(self.api, surroundings(self.clock, outside=outside))
        for document in there:
            self.api.put(document)
        strimzi_by_hand.answer(self.api)

    def ask(self, name, before=None):
        key = self.keys.setdefault(name, new_key())
        request = self.requests.setdefault(name, request_certificate(key, name))
        return asyncio.run(self.transport.admit(HUB, name, request, before))

    def until(self, wanted, ask):
        """After as many looks as it takes, Strimzi answering in between."""
        for _ in range(8):
            answer = ask()
            if isinstance(answer, wanted):
                return answer
            strimzi_by_hand.answer(self.api)
        raise AssertionError(answer)

    def admit(self, name, before=None):
        return self.until(Membership, lambda: self.ask(name, before))

    def expel(self, name):
        asyncio.run(self.transport.expel(HUB, name))

    def prepare(self, job, hospitals=(), members=()):
        return self.until(Ready, lambda: asyncio.run(self.transport.prepare(job, hospitals, members)))

    def own_way(self):
        return self.until(Credentials, lambda: asyncio.run(self.transport.own_way(HUB)))

    def user(self, name, namespace=HUB):
        return self.api.there(STRIMZI_USER, namespace, name)

    def acls(self, name):
        found = self.user(name)["spec"]["authorization"]["acls"]
        return {(each["resource"]["name"], operation) for each in found for operation in each["operations"]}

    def believed(self, namespace=HUB):
        return decoded(self.api.there(SECRET, namespace, "events-clients-ca-cert"))

    def authorities(self):
        return Authorities.read(decoded(self.api.there(SECRET, HUB, "consilia-kafka-members-ca")))


def job(name="demo", number=0, **strimzi):
    uid = f"{number:08x}-0000-4000-8000-000000000000"
    return federated_job(name, uid=uid, transport={"strimzi": {"cluster": "events"} | strimzi})


def log_name(document):
    return FederatedJob.model_validate(document).log_name


def a_secret(files, namespace="kafka", **labels):
    metadata = {"name": "events-clients-ca-cert", "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded(files)}


MEMBER_RULES = {
    (topics.offers("riverside"), "Read"),
    (topics.reports("riverside"), "Write"),
    (topics.correspondent("riverside"), "Write"),
}


def test_all_that_is_asked_for_members_is_what_strimzis_definitions_allow():
    for outside in (BY_NODE, BY_BALANCER):
        door = strimzi_outside.listener(Outside.model_validate(outside))
        made = [*kafka(PLACE, "tls", [door]), strimzi_outside.member(PLACE, HUB, "riverside")]
        made += [strimzi_outside.correspondent(PLACE, HUB, login) for login in ("scram-sha-512", "tls")]
        made += strimzi_outside.letters(PLACE, HUB, "riverside")
        assert [each for document in made for each in complaints(DEFINITIONS[document["kind"]], document)] == []


def test_a_kafka_that_is_made_has_a_door_at_one_address_and_one_range_of_ports():
    world = World()
    waits_for(world.ask("riverside"), "StrimziKafkaStarting")
    spec = world.api.there(STRIMZI_KAFKA, HUB, "events")["spec"]
    inside, door = spec["kafka"]["listeners"]
    assert spec["clientsCa"] == {"generateCertificateAuthority": False}
    assert (inside["name"], inside["type"]) == ("tls", "internal")
    assert (door["name"], door["type"], door["tls"], door["authentication"]) == (
        "members",
        "nodeport",
        True,
        {"type": "tls"},
    )
    told = door["configuration"]
    assert told["bootstrap"] == {"nodePort": 30096, "alternativeNames": ["hub.example"]}
    ports = [(each["broker"], each["nodePort"], each["advertisedPort"]) for each in told["brokers"]]
    assert ports == [(0, 30093, 30093), (1, 30094, 30094), (2, 30095, 30095)]
    assert {each["advertisedHost"] for each in told["brokers"]} == {"hub.example"}
    assert world.admit("riverside").servers == ("hub.example:30093", "hub.example:30094", "hub.example:30095")


def test_behind_balancers_each_broker_has_a_name_of_its_own_at_one_port():
    world = World(outside=BY_BALANCER)
    assert world.admit("riverside").servers == tuple(f"kafka-{number}.hub.example:9443" for number in range(3))
    door = world.api.there(STRIMZI_KAFKA, HUB, "events")["spec"]["kafka"]["listeners"][1]
    assert (door["type"], door["port"]) == ("loadbalancer", 9443)
    assert door["configuration"]["createBootstrapService"] is False


@pytest.mark.parametrize(
    "outside", [STRIMZI, STRIMZI | {"type": "NodePort"}, *(BY_BALANCER | {"port": port} for port in (443, 9093, 9404))]
)
def test_without_a_way_to_it_no_kafka_is_made(outside):
    world = World(outside=outside)
    assert "operator.outside" in waits_for(world.ask("riverside"), "NotOutside").message
    assert world.api.there(STRIMZI_KAFKA, HUB, "events") is None


def test_a_job_that_comes_first_makes_the_same_kafka():
    one, other = World(), World()
    one.ask("riverside")
    asyncio.run(other.transport.prepare(job(), ["lakeside"]))
    of = [each.api.there(STRIMZI_KAFKA, HUB, "events")["spec"] for each in (one, other)]
    assert of[0] == of[1]
    assert other.believed()


def test_a_member_is_a_user_whose_certificate_is_ours_and_whose_rules_are_strimzis():
    world = World()
    member = world.admit("riverside")
    user = world.user("riverside")
    assert user["spec"]["authentication"] == {"type": "tls-external"}
    assert world.acls("riverside") == MEMBER_RULES
    certificate = x509.load_pem_x509_certificate(member.certificate)
    certificate.verify_directly_issued_by(world.authorities().signer.certificate)
    assert certificate.subject.rfc4514_string() == "CN=riverside"
    assert certificate.public_key() == world.keys["riverside"].public_key()
    assert member.trust.decode() == strimzi_by_hand.AUTHORITY
    made = {each["metadata"]["name"] for each in asyncio.run(world.api.list(STRIMZI_TOPIC, HUB))}
    assert made == {topics.offers("riverside"), topics.reports("riverside")}


def test_strimzi_is_told_whom_to_believe_and_never_the_key():
    world = World()
    world.admit("riverside")
    secrets = [world.api.there(SECRET, HUB, f"events-{name}") for name in ("clients-ca-cert", "clients-ca")]
    for each, generation in zip(secrets, ("ca-cert-generation", "ca-key-generation"), strict=True):
        assert each["metadata"]["labels"]["strimzi.io/kind"] == "Kafka"
        assert each["metadata"]["labels"]["strimzi.io/cluster"] == "events"
        assert each["metadata"]["annotations"] == {f"strimzi.io/{generation}": "0"}
    assert world.believed() == {"ca.crt": world.authorities().signer.certificate_pem}
    key = world.authorities().signer.key_pem
    assert set(decoded(secrets[1])) == {"ca.key"}
    assert b"PRIVATE" not in decoded(secrets[1])["ca.key"]
    every = [each for each in world.api.every() if each["kind"] == "Secret"]
    holders = [each["metadata"]["name"] for each in every if key in decoded(each).values()]
    assert holders == ["consilia-kafka-members-ca"]


def test_a_successor_is_believed_before_it_signs_each_in_an_entry_of_its_own():
    world = World()
    first = world.admit("riverside")

    def generations():
        found = [world.api.there(SECRET, HUB, f"events-{name}") for name in ("clients-ca-cert", "clients-ca")]
        return [next(iter(each["metadata"]["annotations"].values())) for each in found]

    world.clock.forward(days=3650 - 360)
    world.admit("riverside", first.certificate)
    assert len(world.believed()) == 2
    assert all(len(parse_bundle(entry)) == 1 for entry in world.believed().values())
    assert world.believed()["ca.crt"] == world.authorities().signer.certificate_pem
    assert generations() == ["1", "0"]
    world.clock.forward(days=31)
    world.admit("riverside", first.certificate)
    assert len(world.believed()) == 2
    assert world.believed()["ca.crt"] == world.authorities().signer.certificate_pem
    assert generations() == ["2", "1"]


def test_nothing_is_asked_again_for_a_minute_and_then_nothing_changes():
    world = World()
    member = world.admit("riverside")
    world.admit("riverside", member.certificate)
    world.api.calls.clear()
    assert world.ask("riverside", member.certificate) == member
    assert world.api.calls == []
    world.clock.forward(seconds=61)
    before = {each["metadata"]["name"]: each["metadata"]["generation"] for each in world.api.every()}
    assert world.ask("riverside", member.certificate) == member
    assert before == {each["metadata"]["name"]: each["metadata"]["generation"] for each in world.api.every()}


def test_a_job_lets_members_in_beside_their_letters_and_hands_out_no_credentials_for_them():
    world = World()
    world.admit("riverside")
    answer = world.prepare(job(), ["lakeside"], ["riverside"])
    assert set(answer.parties) == {"aggregator", "lakeside"}
    assert world.user("riverside")["spec"]["authentication"] == {"type": "tls-external"}
    assert world.user("lakeside")["spec"]["authentication"] == {"type": "scram-sha-512"}
    own = {(topics.rounds(log_name(job())), "Read"), (topics.up("riverside", ""), "Write")}
    assert world.acls("riverside") > MEMBER_RULES | own
    assert world.api.there(STRIMZI_TOPIC, HUB, topics.up("riverside", log_name(job())))
    world.clock.forward(seconds=61)
    world.admit("riverside")
    assert world.acls("riverside") > MEMBER_RULES | own, "its letters do not cost it its job"


def test_with_the_last_job_a_member_loses_the_jobs_rules_and_stays():
    world = World()
    world.admit("riverside")
    world.prepare(job(), [], ["riverside"])
    gone = GoneJob(namespace=HUB, name="demo", log_name=log_name(job()))
    asyncio.run(world.transport.retire(gone))
    assert world.acls("riverside") >= MEMBER_RULES
    assert not any(log_name(job()) in name for name, _ in world.acls("riverside"))
    assert world.api.there(STRIMZI_TOPIC, HUB, topics.offers("riverside"))
    assert asyncio.run(world.transport.orphans(HUB, lambda name: False)) == []


def test_who_is_expelled_has_no_user_and_no_job_gives_it_one():
    world = World()
    world.admit("riverside")
    world.prepare(job(), [], ["riverside"])
    assert asyncio.run(world.transport.members(HUB)) == ["riverside"]
    world.expel("riverside")
    assert asyncio.run(world.transport.members(HUB)) == []
    assert world.user("riverside") is None
    world.prepare(job(), [], ["riverside"])
    assert world.user("riverside") is None, "a job that has not heard of it yet"
    world.expel("riverside")
    world.admit("riverside")
    world.prepare(job(), [], ["riverside"])
    assert (topics.rounds(log_name(job())), "Read") in world.acls("riverside")


def test_somebody_elses_user_is_neither_taken_nor_deleted():
    theirs = strimzi_outside.member(PLACE, "another-hub", "riverside")
    world = World(theirs)
    world.until(NotReady, lambda: world.ask("riverside"))
    strimzi_by_hand.answer(world.api)
    waits_for(world.ask("riverside"), "KafkaUserTaken")
    world.expel("riverside")
    assert world.user("riverside")["spec"] == theirs["spec"]


@pytest.mark.parametrize("login", ["scram-sha-512", "tls"])
def test_the_hub_corresponds_as_a_user_with_no_more_rights_than_it_needs(login):
    world = World(with_a_door(a_kafka(HUB, "events", login=login)), outside=STRIMZI)
    way = world.own_way()
    assert ("password" in way.files) == (login == "scram-sha-512")
    assert ("user.key" in way.files) == (login == "tls")
    assert b"events-kafka-bootstrap" in way.files["kafka.json"], "not by way of the door"
    assert world.acls(topics.HUB) == {
        ("consilia.offers.", "Read"),
        ("consilia.offers.", "Write"),
        ("consilia.reports.", "Read"),
        (topics.HUB, "Write"),
    }
    assert world.own_way() == way


def test_two_hubs_do_not_write_on_one_kafka():
    world = World(strimzi_outside.correspondent(PLACE, "another-hub", "scram-sha-512"))
    for _ in range(3):
        answer = asyncio.run(world.transport.own_way(HUB))
        strimzi_by_hand.answer(world.api)
    assert "another hub's" in waits_for(answer, "KafkaUserTaken").message
    assert waits_for(world.ask("riverside"), "KafkaUserTaken") == answer
    assert world.user("riverside") is None


def their_world(*believed, **changes):
    """Somebody else's Kafka, shared, with these certificates in the entries of its Secret."""
    world = World(shared_with(HUB, with_a_door(a_kafka("kafka", "events"), **changes)), outside=THEIRS)
    world.ask("riverside")
    ours = world.authorities().signer.certificate_pem
    entries = {("ca.crt" if not number else f"ca-{number}.crt"): each or ours for number, each in enumerate(believed)}
    if entries:
        world.api.put(a_secret(entries))
    return world


STRANGER = Authorities.begin(datetime.now(UTC)).signer.certificate_pem


def test_somebody_elses_kafka_is_used_as_it_is_if_it_believes_our_authority_alone():
    world = their_world(None)
    before = world.api.there(SECRET, "kafka", "events-clients-ca-cert")
    member = world.admit("riverside")
    assert member.servers == ("balancer.example:9094",), "as Strimzi's status says"
    assert world.user("riverside", "kafka")["spec"]["authentication"] == {"type": "tls-external"}
    assert world.api.there(SECRET, "kafka", "events-clients-ca-cert") == before
    assert world.api.there(SECRET, "kafka", "events-clients-ca") is None
    asyncio.run(world.transport.expel(HUB, "riverside"))
    assert world.user("riverside", "kafka") is None


@pytest.mark.parametrize("believed", [(), (STRANGER,), (None, STRANGER)])
def test_a_kafka_that_believes_others_lets_no_hospital_in(believed):
    world = their_world(*believed)
    answer = waits_for(world.ask("riverside"), "ClientsCaForeign")
    assert "kafka/events" in answer.message
    assert "consilia-kafka-members-ca" in answer.message
    assert world.user("riverside", "kafka") is None


def test_an_authority_of_strimzis_own_is_not_ours():
    theirs = with_a_door(a_kafka(HUB, "events"))
    world = World(theirs | {"spec": {name: each for name, each in theirs["spec"].items() if name != "clientsCa"}})
    waits_for(world.ask("riverside"), "ClientsCaForeign")
    assert world.api.there(SECRET, HUB, "events-clients-ca-cert") is None


def test_in_its_own_namespace_the_hub_writes_the_authority_unless_somebody_else_has():
    world = World(with_a_door(a_kafka(HUB, "events")), outside=STRIMZI)
    world.admit("riverside")
    assert world.believed()["ca.crt"] == world.authorities().signer.certificate_pem
    world = World(with_a_door(a_kafka(HUB, "events")), a_secret({"ca.crt": STRANGER}, HUB), outside=STRIMZI)
    waits_for(world.ask("riverside"), "ClientsCaForeign")
    assert world.believed() == {"ca.crt": STRANGER}


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (a_kafka("kafka", "events"), "StrimziNotShared"),
        (shared_with("another", with_a_door(a_kafka("kafka", "events"))), "StrimziNotShared"),
    ],
)
def test_another_namespaces_kafka_must_say_so_itself(there, reason):
    world = World(there, outside=THEIRS)
    waits_for(world.ask("riverside"), reason)
    assert ("get", "Secret", "kafka", "events-clients-ca-cert") not in world.api.calls


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "other"}, "ListenerMissing"),
        ({"tls": False}, "ListenerUnfit"),
        ({"authentication": {"type": "scram-sha-512"}}, "ListenerUnfit"),
    ],
)
def test_a_door_that_asks_for_no_certificate_is_none(changes, reason):
    waits_for(their_world(None, **changes).ask("riverside"), reason)
