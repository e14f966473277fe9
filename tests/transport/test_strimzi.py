"""Kafka of Strimzi's: it understands what it is asked, its answers are waited for, and nobody is taken over."""

import asyncio
import copy
from pathlib import Path

import pytest
import strimzi_by_hand
from api_server_in_memory import ApiServerInMemory
from hypothesis import given
from hypothesis import strategies as st
from strimzi_by_hand import a_kafka, shared_with
from structural import complaints, definitions
from transports import HUB, Clock, federated_job, prepare, surroundings, waits_for

from consilia.api import FederatedJob
from consilia.kafka.settings import KafkaSettings
from consilia.log import topics
from consilia_operator import kinds
from consilia_operator.kinds import STRIMZI_KAFKA, STRIMZI_NODE_POOL, STRIMZI_TOPIC, STRIMZI_USER
from consilia_operator.transport.interface import GoneJob, Ready
from consilia_operator.transport.strimzi import Strimzi
from consilia_operator.transport.strimzi_objects import Asked, Place, kafka

DEFINITIONS = definitions(Path(__file__).parent / "crds")
HOSPITALS = ("riverside", "lakeside")


class World:
    def __init__(self, *there, **settings):
        self.api, self.clock = ApiServerInMemory(), Clock()
        self.transport = Strimzi(self.api, surroundings(self.clock, **settings))
        for document in there:
            self.api.put(document)
        strimzi_by_hand.answer(self.api)

    def prepare(self, job, hospitals=HOSPITALS):
        return prepare(self.transport, job, hospitals)

    def ready(self, job, hospitals=HOSPITALS):
        """After as many looks as it takes, Strimzi answering in between."""
        for _ in range(8):
            answer = self.prepare(job, hospitals)
            if isinstance(answer, Ready):
                return answer
            strimzi_by_hand.answer(self.api)
        raise AssertionError(answer)

    def retire(self, job):
        gone = GoneJob(namespace=HUB, name=job["metadata"]["name"], log_name=log_name(job))
        asyncio.run(self.transport.retire(gone))

    def orphans(self, *living):
        return asyncio.run(self.transport.orphans(HUB, living.__contains__))

    def named(self, kind, namespace=HUB):
        return {each["metadata"]["name"] for each in asyncio.run(self.api.list(kind, namespace))}

    def acls(self, user, namespace=HUB):
        found = self.api.there(STRIMZI_USER, namespace, user)["spec"]["authorization"]["acls"]
        return {(each["resource"]["name"], operation) for each in found for operation in each["operations"]}


def job(name="demo", number=0, **strimzi):
    uid = f"{number:08x}-0000-4000-8000-000000000000"
    return federated_job(name, uid=uid, transport={"strimzi": {"cluster": "events"} | strimzi})


def log_name(document):
    return FederatedJob.model_validate(document).log_name


def a_user(name, namespace=HUB):
    """As somebody else made it."""
    made = {"apiVersion": STRIMZI_USER.api_version, "kind": "KafkaUser", "metadata": {"name": name}}
    made["metadata"]["namespace"] = namespace
    return made | {"spec": {"authentication": {"type": "scram-sha-512"}}}


def asked(name="demo", hospitals=HOSPITALS, login="scram-sha-512", **strimzi):
    return Asked(
        job=job(name, **strimzi), hospitals=hospitals, place=Place(namespace=HUB, cluster="events"), login=login
    )


@pytest.mark.parametrize("login", ["scram-sha-512", "tls"])
def test_all_that_is_asked_of_strimzi_is_what_its_own_definitions_allow(login):
    wanted = asked(login=login)
    made = [*kafka(wanted.place, "tls"), *wanted.users(), *wanted.topics()]
    assert {each["kind"] for each in made} == {"Kafka", "KafkaNodePool", "KafkaUser", "KafkaTopic"}
    assert [each for document in made for each in complaints(DEFINITIONS[document["kind"]], document)] == []


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (STRIMZI_KAFKA, lambda spec: spec["kafka"].update(replicas=3)),
        (STRIMZI_KAFKA, lambda spec: spec["kafka"]["listeners"][0].update(type="cloud")),
        (STRIMZI_NODE_POOL, lambda spec: spec.pop("roles")),
        (STRIMZI_USER, lambda spec: spec["authorization"]["acls"][0].update(operations=["Peek"])),
        (STRIMZI_TOPIC, lambda spec: spec.update(partitions=0)),
        (STRIMZI_TOPIC, lambda spec: spec.update(partitions="1")),
    ],
)
def test_the_definitions_would_say_what_is_wrong(kind, change):
    wanted = asked()
    documents = [*kafka(wanted.place, "tls"), *wanted.users(), *wanted.topics()]
    document = copy.deepcopy(next(each for each in documents if each["kind"] == kind.kind))
    change(document["spec"])
    assert complaints(DEFINITIONS[kind.kind], document) != []


def test_without_strimzi_that_is_said():
    world = World()
    world.api.serves = {kind for kind in kinds._ALL.values() if not kind.group.endswith("strimzi.io")}
    waits_for(world.prepare(job()), "StrimziMissing")
    assert world.orphans() == []
    world.retire(job())


def test_a_kafka_that_is_not_there_is_made_once_and_waited_for(tmp_path):
    world = World()
    waits_for(world.prepare(job()), "StrimziKafkaStarting")
    assert world.named(STRIMZI_KAFKA) == {"events"}
    assert world.named(STRIMZI_NODE_POOL) == {"events-nodes"}
    changed = world.api.there(STRIMZI_KAFKA, HUB, "events")
    changed["spec"]["kafka"]["config"]["min.insync.replicas"] = 1
    world.api.put(changed)
    world.ready(job())
    assert world.api.there(STRIMZI_KAFKA, HUB, "events")["spec"] == changed["spec"]


@pytest.mark.parametrize("login", ["scram-sha-512", "tls"])
def test_each_party_gets_what_strimzi_made_for_it(tmp_path, login):
    answer = World(a_kafka(HUB, "events", login=login)).ready(job())
    for party, credentials in answer.parties.items():
        folder = tmp_path / party
        folder.mkdir()
        for name, content in credentials.files.items():
            (folder / name).write_bytes(content)
        settings = KafkaSettings.load(folder / "kafka.json")
        assert settings.bootstrap_servers == (f"events-kafka-bootstrap.{HUB}.svc:9093",)
        assert settings.ca.read_text() == strimzi_by_hand.AUTHORITY
        user = "demo-" if party == "aggregator" else party
        own = settings.certificate if login == "tls" else settings.password
        assert own.read_text().split()[1].startswith(user)
        assert (settings.username is None) == (login == "tls")


def test_topics_are_kept_as_the_log_wants_them():
    world = World(a_kafka(HUB, "events"))
    world.ready(job())
    name = log_name(job())
    assert world.named(STRIMZI_TOPIC) == {
        topics.rounds(name),
        topics.model(name),
        topics.state(name),
        *(topics.up(hospital, name) for hospital in HOSPITALS),
    }
    kept = {each: world.api.there(STRIMZI_TOPIC, HUB, each)["spec"] for each in world.named(STRIMZI_TOPIC)}
    assert {spec["partitions"] for spec in kept.values()} == {1}
    assert kept[topics.model(name)]["config"]["cleanup.policy"] == "compact,delete"
    assert kept[topics.rounds(name)]["config"]["cleanup.policy"] == "delete"


def test_what_is_one_jobs_own_goes_with_it_by_its_owner_and_a_hospitals_user_does_not():
    wanted = asked()
    owned = {each["metadata"]["name"]: bool(each["metadata"].get("ownerReferences")) for each in wanted.users()}
    assert owned == {wanted.aggregator: True, "riverside": False, "lakeside": False}
    assert all(each["metadata"]["ownerReferences"] for each in wanted.topics())


def test_a_hospital_may_what_all_its_jobs_need_and_less_when_one_is_gone():
    world = World(a_kafka(HUB, "events"))
    one, other = job("one", 1), job("other", 2)
    world.ready(one)
    first = world.acls("riverside")
    world.ready(other, ["riverside"])
    both = world.acls("riverside")
    assert first < both
    assert {(topics.rounds(log_name(each)), "Read") for each in (one, other)} < both
    world.retire(one)
    assert world.acls("riverside") == {each for each in both if log_name(one) not in each[0]}
    assert "lakeside" not in world.named(STRIMZI_USER)
    world.retire(other)
    assert world.named(STRIMZI_USER) == world.named(STRIMZI_TOPIC) == set()


def test_what_is_left_is_found_also_in_another_namespace_and_only_this_hubs():
    world = World(shared_with(HUB, a_kafka("kafka", "events")))
    elsewhere = job("far", 3, namespace="kafka")
    world.ready(elsewhere)
    assert world.named(STRIMZI_TOPIC, "kafka")
    assert not any(
        each["metadata"].get("ownerReferences") for each in asyncio.run(world.api.list(STRIMZI_TOPIC, "kafka"))
    )
    assert world.orphans() == [log_name(elsewhere)]
    assert world.orphans(log_name(elsewhere)) == []
    assert asyncio.run(world.transport.orphans("another-hub", lambda name: False)) == []
    world.retire(elsewhere)
    assert world.orphans() == []


A_HOSPITALS_NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "kafka", "labels": {"consilia.dev/hub": HUB}},
}


@pytest.mark.parametrize("there", [a_kafka("kafka", "events"), shared_with("another", a_kafka("kafka", "events"))])
def test_another_namespaces_kafka_is_used_only_if_it_says_so_itself(there):
    world = World(A_HOSPITALS_NAMESPACE, there)
    answer = waits_for(world.prepare(job(namespace="kafka")), "StrimziNotShared")
    assert answer.message.endswith(f": kubectl -n kafka label kafka events consilia.dev/hub={HUB}")
    assert world.named(STRIMZI_USER, "kafka") == set()


@pytest.mark.parametrize("there", [a_user("theirs", "kafka"), shared_with("another", a_user("theirs", "kafka"))])
def test_the_secret_of_another_namespaces_user_is_read_only_if_the_user_says_so_itself(there):
    world = World(A_HOSPITALS_NAMESPACE, shared_with(HUB, a_kafka("kafka", "events")), there)
    asked_for = job(namespace="kafka", user="theirs")
    answer = waits_for(answered(world, asked_for), "StrimziNotShared")
    assert answer.message.endswith(f": kubectl -n kafka label kafkauser theirs consilia.dev/hub={HUB}")
    assert ("get", "Secret", "kafka", "theirs") not in world.api.calls
    world.api.put(shared_with(HUB, a_user("theirs", "kafka")))
    assert world.ready(asked_for).parties["aggregator"].files["password"] == b"pw theirs"


def test_nobody_learns_what_is_in_another_namespace_that_does_not_say_so():
    missing, hidden = World(), World(a_kafka("kafka", "events"))
    assert missing.prepare(job(namespace="kafka")) == hidden.prepare(job(namespace="kafka"))
    assert missing.named(STRIMZI_KAFKA, "kafka") == set(), "none is made there"
    shared = shared_with(HUB, a_kafka("kafka", "events"))
    missing, hidden = World(shared), World(shared, a_user("theirs", "kafka"))
    asked_for = job(namespace="kafka", user="theirs")
    assert waits_for(answered(missing, asked_for), "StrimziNotShared") == answered(hidden, asked_for)


def answered(world, asked_for):
    """What the job hears when Strimzi has made all that it was asked for."""
    waits_for(world.prepare(asked_for), "KafkaUserPending")
    strimzi_by_hand.answer(world.api)
    return world.prepare(asked_for)


def test_somebody_elses_user_of_a_hospitals_name_is_not_taken_over():
    theirs = a_user("riverside")
    world = World(a_kafka(HUB, "events"), theirs)
    assert f"{HUB}/riverside" in waits_for(world.prepare(job()), "KafkaUserTaken").message
    assert world.api.there(STRIMZI_USER, HUB, "riverside")["spec"] == theirs["spec"]
    world.retire(job())
    assert "riverside" in world.named(STRIMZI_USER)


def test_an_aggregators_user_that_is_named_is_used_and_not_changed():
    theirs = a_user("ours")
    world = World(a_kafka(HUB, "events"))
    waits_for(world.prepare(job(user="ours")), "KafkaUserPending")
    strimzi_by_hand.answer(world.api)
    strimzi_by_hand.answer(world.api)
    waits_for(world.prepare(job(user="ours")), "KafkaUserMissing")
    world.api.put(theirs)
    answer = world.ready(job(user="ours"))
    assert answer.parties["aggregator"].files["password"] == b"pw ours"
    assert world.api.there(STRIMZI_USER, HUB, "ours")["spec"] == theirs["spec"]
    assert world.named(STRIMZI_USER) == {"ours", *HOSPITALS}


@pytest.mark.parametrize(
    ("changes", "asked_for", "reason"),
    [
        ({}, {"listener": "outside"}, "ListenerMissing"),
        ({"listeners": [{"name": "tls", "tls": False, "authentication": {"type": "tls"}}]}, {}, "ListenerUnfit"),
        ({"listeners": [{"name": "tls", "tls": True}]}, {}, "ListenerUnfit"),
        ({"listeners": [{"name": "tls", "tls": True, "authentication": {"type": "custom"}}]}, {}, "ListenerUnfit"),
        ({"authorization": None}, {}, "StrimziUnprotected"),
    ],
)
def test_a_kafka_that_cannot_keep_hospitals_apart_is_not_used(changes, asked_for, reason):
    world = World(a_kafka(HUB, "events", **changes))
    assert f"{HUB}/events" in waits_for(world.prepare(job(**asked_for)), reason).message
    assert world.named(STRIMZI_USER) == set()


def test_what_strimzi_says_is_passed_on():
    world = World(a_kafka(HUB, "events"))
    world.prepare(job())
    user = world.api.there(STRIMZI_USER, HUB, "riverside")
    conditions = [{"type": "NotReady", "status": "True", "message": "Authorization needs to be enabled"}]
    strimzi_by_hand.answer(world.api)
    world.api.put(user | {"status": {"conditions": conditions}})
    assert "Authorization needs to be enabled" in waits_for(world.prepare(job()), "KafkaUserPending").message


def test_an_answer_to_an_earlier_question_is_none():
    world = World(a_kafka(HUB, "events"))
    world.ready(job("one", 1))
    waits_for(world.prepare(job("other", 2)), "KafkaUserPending")
    strimzi_by_hand.answer(world.api)
    world.ready(job("other", 2))


def test_when_nothing_changed_nobody_is_asked_for_a_minute():
    world = World(a_kafka(HUB, "events"))
    first = world.ready(job())
    world.api.calls.clear()
    assert world.prepare(job()) == first
    assert world.api.calls == []
    world.clock.forward(seconds=61)
    assert world.prepare(job()) == first
    assert world.api.calls != []


NAME = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True).filter(lambda name: name != "aggregator")


@given(NAME, st.uuids(), st.lists(NAME, min_size=1, max_size=4, unique=True), st.sampled_from(["tls", "scram-sha-512"]))
def test_whatever_the_names_all_documents_are_valid_and_no_two_are_one(name, uid, hospitals, login):
    document = federated_job(name, uid=str(uid), transport={"strimzi": {"cluster": "events"}})
    wanted = Asked(job=document, hospitals=hospitals, place=Place(namespace=HUB, cluster="events"), login=login)
    made = [*wanted.users(), *wanted.topics()]
    assert [each for one in made for each in complaints(DEFINITIONS[one["kind"]], one)] == []
    called = [(each["kind"], each["metadata"]["name"]) for each in made]
    assert len(set(called)) == len(called)
    assert all(len(user["metadata"]["name"]) <= 63 for user in wanted.users())
    assert all(len(topic["metadata"]["name"]) <= 249 for topic in wanted.topics())
