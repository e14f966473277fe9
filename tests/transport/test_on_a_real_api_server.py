"""The real API server takes all that the transports make, changes nothing in it, and finds its pods restricted."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from bare_api_server import bare_api_server
from kubernetes.aio import client
from transports import OPERATOR, Clock, federated_job, operator_settings, surroundings, waits_for

from consilia.api.infrastructure import ManagedTransport
from consilia.certificates import new_key, request_certificate
from consilia_operator import kinds
from consilia_operator.api_server import ApiServer
from consilia_operator.kinds import CERTIFICATE, SECRET, STATEFUL_SET, STRIMZI_KAFKA, STRIMZI_TOPIC, STRIMZI_USER
from consilia_operator.names import KAFKA
from consilia_operator.settings import Outside
from consilia_operator.transport import strimzi_outside
from consilia_operator.transport.authorities import Authorities
from consilia_operator.transport.managed import Managed
from consilia_operator.transport.managed_objects import documents
from consilia_operator.transport.managed_plan import Plan
from consilia_operator.transport.strimzi import Strimzi
from consilia_operator.transport.strimzi_objects import Asked, Place, kafka

pytestmark = pytest.mark.slow
SETTINGS = operator_settings()
DEFINITIONS = Path(__file__).parent / "crds"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with bare_api_server(tmp_path_factory.mktemp("server")) as running:
        for path in sorted(DEFINITIONS.glob("*.yaml")):
            status, said = running.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _yaml(path))
            assert status == 201, said
        yield running


def _yaml(path):
    return yaml.safe_load(path.read_text())


@pytest.fixture
def namespace(server, request):
    """A fresh one that lets in only what Kubernetes calls restricted."""
    name = f"hub-{abs(hash(request.node.nodeid)) % 10**8}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"metadata": {"name": name, "labels": labels}}
    assert server.ask("POST", "/api/v1/namespaces", body)[0] == 201
    account = {"metadata": {"name": "default"}}
    assert server.ask("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)[0] == 201
    return name


def refusal(server, document):
    kind, namespace = kinds.of(document), document["metadata"]["namespace"]
    group = f"apis/{kind.api_version}" if kind.group else f"api/{kind.api_version}"
    path = f"/{group}/namespaces/{namespace}/{kind.plural}?dryRun=All&fieldValidation=Strict"
    status, said = server.ask("POST", path, document)
    return "" if status == 201 else said["message"]


def through(server, act):
    """What `act` gives for the operator's own way to the API server."""

    async def run():
        configuration = client.Configuration(host=f"https://127.0.0.1:{server.connection.port}")
        configuration.api_key = {"BearerToken": f"Bearer {server.token}"}
        configuration.verify_ssl = False
        async with client.ApiClient(configuration) as api:
            return await act(ApiServer(api))

    return asyncio.run(run())


def generations(server, namespace):
    """Of the StatefulSet and all KafkaUsers."""

    async def look(api):
        found = [*await api.list(STATEFUL_SET, namespace), *await api.list(STRIMZI_USER, namespace)]
        return {(each["kind"], each["metadata"]["name"]): each["metadata"]["generation"] for each in found}

    return through(server, look)


@pytest.mark.parametrize("brokers", [1, 3])
def test_every_object_of_managed_kafka_is_taken_without_a_field_too_many(server, namespace, brokers):
    plan = Plan.wanted(namespace, ManagedTransport(brokers=brokers), SETTINGS)
    made = documents(plan, SETTINGS, digest="d", operator_namespace=OPERATOR)
    assert [(each["kind"], refusal(server, each)) for each in made if refusal(server, each)] == []


def test_a_brokers_pod_is_let_in_where_only_restricted_pods_are(server, namespace):
    plan = Plan.wanted(namespace, None, SETTINGS)
    template = documents(plan, SETTINGS, digest="d", operator_namespace=OPERATOR)[-1]["spec"]["template"]
    claim = {"name": "data", "emptyDir": {}}
    spec = template["spec"] | {"volumes": [*template["spec"]["volumes"], claim]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kafka-0", "namespace": namespace}, "spec": spec}
    assert refusal(server, pod) == ""
    assert "restricted" in refusal(server, pod | {"spec": spec | {"hostNetwork": True}})


def test_laid_again_and_by_another_operator_nothing_of_it_changes(server, namespace):
    clock, job = Clock(), federated_job(namespace=namespace)

    async def twice(api):
        for _ in range(2):
            waits_for(await Managed(api, surroundings(clock)).prepare(job, ["riverside"]), "KafkaStarting")

    through(server, twice)
    first = generations(server, namespace)
    assert first == {("StatefulSet", KAFKA): 1}
    through(server, twice)
    assert generations(server, namespace) == first


@pytest.mark.parametrize("login", ["scram-sha-512", "tls"])
def test_every_resource_for_strimzi_is_taken_by_its_own_definitions_with_their_rules(server, namespace, login):
    job, place = federated_job(namespace=namespace), Place(namespace=namespace, cluster="events")
    wanted = Asked(job=job, hospitals=["riverside", "lakeside"], place=place, login=login)
    made = [*kafka(place, "tls"), *wanted.users(), *wanted.topics()]
    assert [(each["kind"], refusal(server, each)) for each in made if refusal(server, each)] == []
    broken = made[0] | {"spec": made[0]["spec"] | {"unheardOf": 1}}
    assert "unheardOf" in refusal(server, broken)


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_every_resource_for_members_is_taken_too(server, namespace, kind):
    place, authorities = Place(namespace=namespace, cluster="events"), Authorities.begin(datetime.now(UTC))
    outside = Outside(log="Strimzi", type=kind, host="kafka-{broker}.hub.example", port=30093)
    made = [*kafka(place, "tls", [strimzi_outside.listener(outside)])]
    made += strimzi_outside.clients_ca(place, authorities, None, None)
    made += [strimzi_outside.member(place, namespace, "riverside")]
    made += [strimzi_outside.correspondent(place, namespace, login) for login in ("scram-sha-512", "tls")]
    made += strimzi_outside.letters(place, namespace, "riverside")
    assert [(each["kind"], refusal(server, each)) for each in made if refusal(server, each)] == []


def test_what_is_asked_of_strimzi_again_changes_nothing(server, namespace):
    clock, place = Clock(), {"cluster": "events"}
    job = federated_job(namespace=namespace, transport={"strimzi": place})

    async def once(api):
        strimzi = Strimzi(api, surroundings(clock))
        waits_for(await strimzi.prepare(job, ["riverside"]), "StrimziKafkaStarting")
        await ready(api)
        waits_for(await strimzi.prepare(job, ["riverside"]), "KafkaUserPending")

    async def ready(api):
        found = await api.get(STRIMZI_KAFKA, namespace, "events")
        listeners = [{"name": "tls", "bootstrapServers": "events:9093", "certificates": ["PEM"]}]
        conditions = [{"type": "Ready", "status": "True"}]
        await api.write_status(found, {"listeners": listeners, "conditions": conditions})

    async def again(api):
        waits_for(await Strimzi(api, surroundings(clock)).prepare(job, ["riverside"]), "KafkaUserPending")

    through(server, once)
    first = generations(server, namespace)
    through(server, again)
    assert generations(server, namespace) == first
    assert set(first.values()) == {1}


def test_a_member_that_is_admitted_again_and_by_another_operator_changes_nothing_and_is_expelled(server, namespace):
    outside = {"log": "Strimzi", "strimzi": {"cluster": "events"}, "type": "NodePort", "host": "hub.example"}
    clock, request = Clock(), request_certificate(new_key(), "riverside")
    clock.now = datetime.now(UTC)

    async def look(api, before=None):
        return await Strimzi(api, surroundings(clock, outside=outside)).admit(namespace, "riverside", request, before)

    async def answer(api):
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        for kind in (STRIMZI_USER, STRIMZI_TOPIC):
            for each in await api.list(kind, namespace):
                await api.write_status(each, ready)
        found = await api.get(STRIMZI_KAFKA, namespace, "events")
        listeners = [
            {"name": each, "bootstrapServers": "events:9093", "certificates": ["PEM"]} for each in ("tls", "members")
        ]
        await api.write_status(found, ready | {"listeners": listeners})

    async def made(api):
        kinds_made = (STRIMZI_USER, STRIMZI_TOPIC, STRIMZI_KAFKA)
        found = [each for kind in kinds_made for each in await api.list(kind, namespace)]
        names = ("events-clients-ca", "events-clients-ca-cert", "consilia-kafka-members-ca")
        found += [await api.get(SECRET, namespace, name) for name in names]
        return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in found}

    async def story(api):
        waits_for(await look(api), "StrimziKafkaStarting")
        await answer(api)
        waits_for(await look(api), "KafkaUserPending")
        await answer(api)
        member, before = await look(api), await made(api)
        assert (await look(api, member.certificate), await made(api)) == (member, before)
        await Strimzi(api, surroundings(clock, outside=outside)).expel(namespace, "riverside")
        assert "riverside" not in await made(api)

    through(server, story)


def test_what_is_not_installed_is_not_there(server):
    assert through(server, lambda api: api.exists(STRIMZI_KAFKA))
    assert not through(server, lambda api: api.exists(CERTIFICATE))
