"""What a job hears of managed Kafka before it is up, and what is left alone once it is there."""

import asyncio
import json
import logging

import pytest
from api_server_in_memory import ApiServerInMemory
from brokers_on_loopback import resolving
from hypothesis import given
from hypothesis import strategies as st
from transports import HUB, UID, Clock, federated_job, operator_settings, prepare, surroundings, waits_for

from consilia.api import FederatedJob
from consilia.errors import LogUnavailableError, ManifestError
from consilia.kafka.settings import KafkaSettings
from consilia_operator.conditions import timestamp
from consilia_operator.kinds import POD_DISRUPTION_BUDGET, SECRET, STATEFUL_SET
from consilia_operator.names import KAFKA, child, labels, task_name
from consilia_operator.transport.administration import Wanted, aggregator_user
from consilia_operator.transport.choosing import Transports, transport_of
from consilia_operator.transport.credentials import Passwords, by_password
from consilia_operator.transport.interface import GoneJob
from consilia_operator.transport.leaves import BROKER, OPERATOR
from consilia_operator.transport.managed import Managed
from consilia_operator.transport.managed_plan import Plan
from consilia_operator.transport.secrets import decoded, encoded


def managed(brokers=1, **more):
    return {"managed": {"brokers": brokers, **more}}


@pytest.fixture
def api():
    return ApiServerInMemory()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def transport(api, clock):
    return Managed(api, surroundings(clock))


@pytest.fixture
def nobody_there(api, transport):
    """The StatefulSet says that its broker is ready; at its name nobody listens."""
    prepare(transport, federated_job())
    api.put(api.there(STATEFUL_SET, HUB, KAFKA) | {"status": {"readyReplicas": 1}})
    with resolving(dict.fromkeys(Plan.wanted(HUB, None, operator_settings()).hosts, "127.254.254.254")):
        yield


def pod(status):
    metadata = {"name": f"{KAFKA}-0", "namespace": HUB, "labels": labels("kafka")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}


def waiting(reason, message=""):
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "kafka", "image": "kafka:1", "state": state}]}


def unscheduled(message):
    return {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}


def test_the_first_job_has_kafka_made_and_is_told_how_far_it_is(api, transport):
    answer = waits_for(prepare(transport, federated_job()), "KafkaStarting")
    assert "0 of 1 brokers" in answer.message
    assert not answer.permanent
    assert answer.retry_seconds <= 5
    assert api.there(STATEFUL_SET, HUB, KAFKA)["spec"]["replicas"] == 1


def test_a_job_gets_the_brokers_and_disks_that_it_asks_for_if_it_is_the_first(api, transport):
    prepare(transport, federated_job(transport=managed(3, storage="20Gi")))
    spec = api.there(STATEFUL_SET, HUB, KAFKA)["spec"]
    assert spec["replicas"] == 3
    assert spec["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert api.there(POD_DISRUPTION_BUDGET, HUB, KAFKA)


def test_one_broker_of_three_may_be_away(api, transport):
    prepare(transport, federated_job(transport=managed(3)))
    there = api.there(STATEFUL_SET, HUB, KAFKA)
    api.put(there | {"status": {"readyReplicas": 1}})
    assert "1 of 3" in waits_for(prepare(transport, federated_job(transport=managed(3))), "KafkaStarting").message


@pytest.mark.parametrize(("first", "second"), [(1, 3), (3, 1)])
def test_a_job_that_wants_another_number_of_brokers_is_told_what_to_do(api, transport, first, second):
    prepare(transport, federated_job(transport=managed(first)))
    answer = waits_for(prepare(transport, federated_job("other", transport=managed(second))), "TransportDiffers")
    assert answer.permanent
    assert f"brokers: {first}" in answer.message
    assert api.there(STATEFUL_SET, HUB, KAFKA)["spec"]["replicas"] == first


def test_a_job_that_says_nothing_takes_what_is_there(api, transport):
    prepare(transport, federated_job(transport=managed(3)))
    waits_for(prepare(transport, federated_job("other")), "KafkaStarting")


def test_larger_disks_are_not_made_and_the_job_goes_on(api, transport):
    prepare(transport, federated_job(transport=managed(storage="1Gi")))
    before = api.there(STATEFUL_SET, HUB, KAFKA)["spec"]
    waits_for(prepare(transport, federated_job("other", transport=managed(storage="9Gi"))), "KafkaStarting")
    assert api.there(STATEFUL_SET, HUB, KAFKA)["spec"] == before


def test_an_operator_with_other_settings_does_not_touch_claims_which_could_not_change(api, clock):
    prepare(Managed(api, surroundings(clock)), federated_job())
    before = api.there(STATEFUL_SET, HUB, KAFKA)["spec"]["volumeClaimTemplates"]
    other = Managed(api, surroundings(clock, storage={"storageClass": "fast"}, images={"worker": "w", "kafka": "k:2"}))
    waits_for(prepare(other, federated_job()), "KafkaStarting")
    spec = api.there(STATEFUL_SET, HUB, KAFKA)["spec"]
    assert spec["volumeClaimTemplates"] == before
    assert spec["template"]["spec"]["containers"][0]["image"] == "k:2"


def test_asked_again_nothing_is_changed(api, transport):
    prepare(transport, federated_job())
    before = {(each["kind"], each["metadata"]["name"]): each["metadata"]["generation"] for each in api.every()}
    prepare(transport, federated_job())
    after = {(each["kind"], each["metadata"]["name"]): each["metadata"]["generation"] for each in api.every()}
    assert after == before


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (unscheduled("0/1 nodes: pod has unbound immediate PersistentVolumeClaims"), "KafkaUnschedulable", "unbound"),
        (waiting("ImagePullBackOff", "no such image"), "KafkaImageNotPulled", "kafka:1"),
        (waiting("CreateContainerConfigError", "secret not found"), "KafkaBadConfiguration", "secret not found"),
        (waiting("CrashLoopBackOff"), "KafkaCrashing", "again and again"),
        (waiting("ContainerCreating"), "KafkaStarting", "0 of 1"),
    ],
)
def test_why_a_broker_does_not_start_is_told(api, transport, status, reason, said):
    prepare(transport, federated_job())
    api.put(pod(status))
    assert said in waits_for(prepare(transport, federated_job()), reason).message


@pytest.mark.parametrize(("brokers", "there"), [(1, 0), (3, 1)])
def test_a_broker_whose_pod_is_not_let_in_is_missed_after_a_while(api, transport, clock, brokers, there):
    job = federated_job(transport=managed(brokers))
    prepare(transport, job)
    made = api.there(STATEFUL_SET, HUB, KAFKA)
    api.put(made | {"metadata": made["metadata"] | {"creationTimestamp": timestamp(clock.now)}})
    for _ in range(there):
        api.put(pod({}))
    clock.forward(seconds=30)
    early = waits_for(prepare(transport, job), "KafkaStarting").message
    assert early.endswith(f"0 of {brokers} brokers are ready.")
    clock.forward(seconds=1)
    said = waits_for(prepare(transport, job), "KafkaStarting")
    assert f"Only {there} of {brokers} pods are there" in said.message
    assert said.message.endswith(f"kubectl -n {HUB} describe statefulset {KAFKA}")
    clock.forward(seconds=5)
    assert prepare(transport, job) == said, "a message that changes is written again and again"


def test_pods_that_are_all_there_are_not_missed(api, transport, clock):
    prepare(transport, federated_job())
    made = api.there(STATEFUL_SET, HUB, KAFKA)
    api.put(made | {"metadata": made["metadata"] | {"creationTimestamp": timestamp(clock.now)}})
    api.put(pod({}))
    clock.forward(hours=1)
    assert prepare(transport, federated_job()).message.endswith("0 of 1 brokers are ready.")


def test_memory_that_is_no_amount_is_said_to_be_a_setting_of_the_operators(api, clock):
    sizes = {"kafka": {"limits": {"memory": "plenty"}}}
    answer = waits_for(prepare(Managed(api, surroundings(clock, sizes=sizes)), federated_job()), "KafkaMisconfigured")
    assert "operator.sizes.kafka" in answer.message
    assert "'plenty'" in answer.message
    prepare(Managed(api, surroundings(clock)), federated_job())
    with pytest.raises(ManifestError, match=r"operator\.sizes\.kafka"):
        asyncio.run(Managed(api, surroundings(clock, sizes=sizes)).keep_up(HUB, []))


def test_a_new_certificate_starts_the_brokers_again_and_an_old_one_does_not(api, transport, clock):
    def annotations():
        prepare(transport, federated_job())
        return api.there(STATEFUL_SET, HUB, KAFKA)["spec"]["template"]["metadata"]["annotations"]

    first = annotations()
    clock.forward(days=1)
    assert annotations() == first
    clock.forward(days=75)
    assert annotations() != first


def test_brokers_that_do_not_answer_are_a_reason_to_come_again(nobody_there, transport):
    answer = waits_for(prepare(transport, federated_job()), "KafkaUnavailable")
    assert f"{KAFKA}-0" in answer.message
    assert not answer.permanent
    assert prepare(transport, federated_job()) == answer, "a message that changes is written again and again"


def test_passwords_lie_in_their_secrets_before_kafka_hears_of_them(nobody_there, api, transport):
    waits_for(prepare(transport, federated_job()), "KafkaUnavailable")
    passwords = {
        each["metadata"]["name"]: decoded(each)["password"]
        for each in api.every()
        if each["kind"] == "Secret" and "password" in each["data"]
    }
    assert len(set(passwords.values())) == 3
    assert {f"{KAFKA}-user-riverside", f"{KAFKA}-user-lakeside"} < set(passwords)
    (own,) = set(passwords) - {f"{KAFKA}-user-riverside", f"{KAFKA}-user-lakeside"}
    assert api.there(SECRET, HUB, own)["metadata"]["ownerReferences"][0]["uid"] == UID


def test_a_damaged_secret_is_named(nobody_there, api, transport):
    metadata = {"name": f"{KAFKA}-user-riverside", "namespace": HUB}
    api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": ""}})
    answer = waits_for(prepare(transport, federated_job()), "SecretDamaged")
    assert f"{HUB}/{KAFKA}-user-riverside" in answer.message


def test_one_finished_job_with_a_damaged_secret_holds_up_nobody(nobody_there, api, transport, caplog):
    name = child(task_name("bad", UID), "kafka")
    metadata = {"name": name, "namespace": HUB}
    api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": ""}})
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(transport.keep_up(HUB, [federated_job("bad")])) is None
    assert f"FederatedJob {HUB}/bad" in caplog.text
    assert f"the Secret {HUB}/{name} has no password. Delete it" in caplog.text
    with pytest.raises(LogUnavailableError):
        asyncio.run(transport.keep_up(HUB, [federated_job("bad"), federated_job("good")]))


def test_a_password_that_somebody_changes_in_the_secret_is_used_after_a_minute(api, clock):
    passwords = Passwords(api, clock.seconds)
    first = asyncio.run(passwords.of_hospital(HUB, "riverside"))
    there = api.there(SECRET, HUB, f"{KAFKA}-user-riverside")
    api.put(there | {"data": encoded({"password": b"chosen"})})
    assert asyncio.run(passwords.of_hospital(HUB, "riverside")) == first
    clock.forward(seconds=61)
    assert asyncio.run(passwords.of_hospital(HUB, "riverside")) == "chosen"


def test_where_there_is_no_kafka_nothing_is_left_and_nothing_is_to_be_taken_away(api, transport):
    assert asyncio.run(transport.orphans(HUB, lambda name: False)) == []
    asyncio.run(transport.retire(GoneJob(namespace=HUB, name="demo", log_name="demo.0a1b2c3d")))
    assert api.every() == []


def test_while_kafka_is_down_what_is_left_cannot_be_told(api, transport):
    prepare(transport, federated_job())
    with pytest.raises(LogUnavailableError, match=r"not up.*kubectl"):
        asyncio.run(transport.orphans(HUB, lambda name: False))


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (None, "managed"),
        ({"managed": {}}, "managed"),
        ({"strimzi": {"cluster": "k"}}, "strimzi"),
        ({"external": {"bootstrapServers": ["k:9093"]}}, "external"),
    ],
)
def test_a_jobs_transport_is_the_one_that_it_names(given, chosen):
    assert transport_of(federated_job(transport=given)) == chosen


def test_all_transports_together_answer_for_each_job(api):
    transports = Transports(api, operator_settings(), "consilia-system")
    waits_for(prepare(transports, federated_job()), "KafkaStarting")
    waits_for(prepare(transports, federated_job(transport={"strimzi": {"cluster": "k"}})), "StrimziKafkaStarting")
    secret = {"bootstrapServers": ["k:9093"], "secretRef": {"name": "kafka"}}
    waits_for(prepare(transports, federated_job(transport={"external": secret})), "CredentialsMissing")


NAME = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(NAME, NAME, st.uuids())
def test_no_hospital_is_ever_taken_for_another_party_or_a_super_user(hospital, job, uid):
    log_name = FederatedJob.model_validate(federated_job(job, uid=str(uid))).log_name
    assert hospital not in {BROKER, OPERATOR, aggregator_user(log_name)}
    assert aggregator_user(log_name) not in {BROKER, OPERATOR}


@given(NAME, st.text(min_size=1))
def test_no_secret_is_shown_by_who_carries_it(user, password):
    word = f"<<{password}>>"
    wanted = Wanted(log_name="j", aggregator=word, hospitals={user: word})
    credentials = by_password(("k:9093",), b"trust", user, word)
    assert "<<" not in repr(wanted) + repr(credentials)
    assert json.loads(credentials.files["kafka.json"])["password"] == "password"
    assert "<<" not in credentials.files["kafka.json"].decode()
    assert KafkaSettings.model_validate_json(credentials.files["kafka.json"]).username == user
