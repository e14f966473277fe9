"""What a managed Kafka is made of: as restricted as a pod can be, reachable for its own programs, and never too big."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transports import HUB, OPERATOR, operator_settings

from consilia.api.infrastructure import ManagedTransport
from consilia.broker.node import NodeSettings, describe
from consilia.broker.properties import server_properties
from consilia.errors import ManifestError
from consilia_operator.transport.managed_objects import documents
from consilia_operator.transport.managed_plan import Plan, heap
from consilia_operator.transport.quantity import in_bytes

SETTINGS = operator_settings()


def plan(brokers=1, namespace=HUB):
    return Plan.wanted(namespace, ManagedTransport(brokers=brokers), SETTINGS)


def objects(brokers=1, settings=SETTINGS):
    made = documents(plan(brokers), settings, digest="d", operator_namespace=OPERATOR)
    return {each["kind"]: each for each in made}


def pod(brokers=1, settings=SETTINGS):
    return objects(brokers, settings)["StatefulSet"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("brokers", [1, 3])
def test_a_pod_may_do_nothing_that_it_need_not(brokers):
    spec, (container,) = pod(brokers), pod(brokers)["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert all(set(volume) <= {"name", "projected", "emptyDir"} for volume in spec["volumes"])


def test_no_program_is_run_inside_the_pod_to_look_whether_it_lives():
    (container,) = pod()["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["tcpSocket"] == {"port": "clients"}


def test_everything_that_a_pod_writes_lies_on_a_volume():
    (container,) = pod()["containers"]
    writable = [each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")]
    told = NodeSettings.model_validate_json(objects()["ConfigMap"]["data"]["node.json"])
    assert any(told.data.is_relative_to(path) for path in writable)
    assert any(told.work.is_relative_to(path) for path in writable)
    assert sorted(writable) == ["/tmp", "/var/lib/consilia"]


def test_the_pods_files_are_what_their_settings_name_and_the_authoritys_key_is_none_of_them():
    (volume,) = (each for each in pod()["volumes"] if each["name"] == "settings")
    (mount,) = (each for each in pod()["containers"][0]["volumeMounts"] if each["name"] == "settings")
    sources = [source for each in volume["projected"]["sources"] for source in each.values()]
    files = {f"{mount['mountPath']}/{item['path']}" for source in sources for item in source["items"]}
    told = NodeSettings.model_validate_json(objects()["ConfigMap"]["data"]["node.json"])
    assert {str(told.certificate), str(told.key), str(told.trust)} < files
    assert files == {f"/etc/consilia/{name}" for name in ("node.json", "tls.crt", "tls.key", "ca.crt")}


def test_one_broker_gets_no_budget_that_would_hold_up_a_drain_for_ever_and_three_may_miss_one():
    assert "PodDisruptionBudget" not in objects(1)
    assert objects(3)["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_brokers_find_one_another_before_they_are_ready():
    service = objects(3)["Service"]["spec"]
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True
    assert objects(3)["StatefulSet"]["spec"]["podManagementPolicy"] == "Parallel"


@pytest.mark.parametrize("brokers", [1, 3])
def test_the_nodes_accept_what_they_are_told(brokers):
    told = NodeSettings.model_validate_json(objects(brokers)["ConfigMap"]["data"]["node.json"])
    for number in range(brokers):
        properties = server_properties(describe(told, number))
        name = f"consilia-kafka-{number}.consilia-kafka.{HUB}.svc.cluster.local"
        assert properties["advertised.listeners"] == f"CLIENTS://{name}:9093,PEERS://{name}:9094"
        assert properties["super.users"] == "User:consilia.broker;User:consilia.operator"


def test_only_programs_of_the_hubs_jobs_reach_the_clients_port_and_only_brokers_one_another():
    rules = objects()["NetworkPolicy"]["spec"]["ingress"]
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in rules}
    programs = [{"key": "app.kubernetes.io/component", "operator": "In", "values": ["aggregator", "trainer"]}]
    assert [each["podSelector"]["matchExpressions"] for each in by_port[9093]] == [programs, programs]
    assert [each["namespaceSelector"]["matchLabels"] for each in by_port[9093]] == [
        {"kubernetes.io/metadata.name": HUB},
        {"consilia.dev/hub": HUB},
    ]
    brokers = {"podSelector": {"matchLabels": objects()["StatefulSet"]["spec"]["selector"]["matchLabels"]}}
    operator = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": OPERATOR}}}
    assert by_port[9094] == [brokers, operator]
    assert by_port[9095] == [brokers]
    assert set(by_port) == {9093, 9094, 9095}


def test_network_policies_are_left_out_when_told_so():
    assert "NetworkPolicy" not in objects(settings=operator_settings(networkPolicies=False))


def test_settings_reach_the_pod():
    settings = operator_settings(
        images={"worker": "w", "kafka": "mine/kafka:2", "pullPolicy": "Always", "pullSecrets": ["key"]},
        sizes={"kafka": {"limits": {"memory": "4Gi"}}},
        storage={"storageClass": "fast"},
        clusterDomain="example.org",
    )
    made = pod(settings=settings)
    assert made["containers"][0]["image"] == "mine/kafka:2"
    assert made["containers"][0]["imagePullPolicy"] == "Always"
    assert made["imagePullSecrets"] == [{"name": "key"}]
    assert made["containers"][0]["resources"] == {"limits": {"memory": "4Gi"}}
    wanted = Plan.wanted(HUB, None, settings)
    (claim,) = documents(wanted, settings, digest="", operator_namespace=OPERATOR)[-1]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert wanted.hosts == ("consilia-kafka-0.consilia-kafka.hub.svc.example.org",)


def test_a_storage_class_that_is_empty_is_not_the_clusters_default():
    settings = operator_settings(storage={"storageClass": ""})
    made = documents(Plan.wanted(HUB, None, settings), settings, digest="", operator_namespace=OPERATOR)
    assert made[-1]["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] == ""


@pytest.mark.parametrize(
    ("kafka", "expected"),
    [
        ({"limits": {"memory": "1536Mi"}}, "768m"),
        ({"limits": {"memory": "4G"}}, "1907m"),
        ({"requests": {"memory": "2Gi"}}, "1024m"),
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "3Gi"}}, "1536m"),
        ({"limits": {"memory": "64Mi"}}, "256m"),
        ({}, "512m"),
    ],
)
def test_half_of_a_brokers_memory_is_javas(kafka, expected):
    assert heap(operator_settings(sizes={"kafka": kafka})) == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("10Gi", 10 << 30),
        ("1.5Ki", 1536),
        ("2M", 2_000_000),
        ("1e3", 1000),
        ("1.5e+09", 1_500_000_000),
        ("123", 123),
        ("1Ei", 1 << 60),
    ],
)
def test_amounts_of_bytes_are_read_as_kubernetes_reads_them(text, number):
    assert in_bytes(text) == number


@pytest.mark.parametrize("text", ["", "Gi", "-1Gi", "1 Gi", "1Gib", "0x10", "1e", "1e+", "1e999", "\u0661Gi", "NaN"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ManifestError, match="no amount of bytes"):
        in_bytes(text)


def test_larger_disks_are_noticed_and_smaller_ones_are_not():
    ten = replace(plan(), storage="10Gi")
    assert ten.asks_for_more(ManagedTransport(storage="11Gi"))
    assert not ten.asks_for_more(ManagedTransport(storage="10Gi"))
    assert not ten.asks_for_more(ManagedTransport(storage="10G"))


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(LABEL, st.sampled_from([1, 3]))
def test_whatever_the_namespace_all_names_are_short_enough_and_the_cluster_keeps_its_id(namespace, brokers):
    found = plan(brokers, namespace)
    made = documents(found, SETTINGS, digest="d" * 32, operator_namespace=OPERATOR)
    assert all(len(each["metadata"]["name"]) <= 52 and each["metadata"]["namespace"] == namespace for each in made)
    assert all(len(host) <= 253 and all(len(label) <= 63 for label in host.split(".")) for host in found.hosts)
    assert found.cluster_id() == plan(brokers, namespace).cluster_id()
    settings = NodeSettings.model_validate(json.loads(found.node_settings(SETTINGS)))
    assert settings.cluster == found.cluster_id()


@given(LABEL, LABEL)
def test_kafkas_of_two_namespaces_have_two_ids(one, other):
    assert (plan(1, one).cluster_id() == plan(1, other).cluster_id()) == (one == other)


@given(LABEL, st.sampled_from([1, 3]))
def test_a_plan_is_found_again_in_the_stateful_set_that_it_made(namespace, brokers):
    wanted = plan(brokers, namespace)
    stateful_set = documents(wanted, SETTINGS, digest="", operator_namespace=OPERATOR)[-1]
    assert Plan.found(stateful_set, SETTINGS) == wanted
