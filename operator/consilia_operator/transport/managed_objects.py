"""The objects of a namespace's managed Kafka. Pure."""

from typing import Any

from consilia.broker.node import CLIENTS_PORT, CONTROLLER_PORT, MEMBERS_PORT, PEERS_PORT
from consilia_operator.kinds import (
    CONFIG_MAP,
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    PVC,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    Kind,
)
from consilia_operator.manifests import network, pod
from consilia_operator.names import COMPONENT, GROUP, HUB, KAFKA, MANAGED_BY, labels
from consilia_operator.settings import OperatorSettings
from consilia_operator.transport.interface import Document
from consilia_operator.transport.leaves import CERTIFICATE, KEY
from consilia_operator.transport.managed_plan import (
    AUTHORITY_SECRET,
    BROKERS_SECRET,
    DATA,
    FOLDER,
    MEMBERS_FILE,
    MEMBERS_SECRET,
    NODE_FILE,
    STATE,
    STORAGE_CLASS,
    TRUST_FILE,
    WORK,
    Plan,
)
from consilia_operator.transport.secrets import encoded

COMPONENT_NAME = "kafka"
CONFIGURATION = f"{GROUP}/configuration"
"""Annotation of the pods: the digest of what they read at their start, so that a change of it starts them again."""
SETTLING_SECONDS = 20
"""How long a broker of several must be up before the next one goes down: to copy what it has missed."""
_PORTS = {"clients": CLIENTS_PORT, "peers": PEERS_PORT, "controller": CONTROLLER_PORT}
_MEMBERS = "members"
_UP = {"tcpSocket": {"port": "clients"}}
_GROUP_MAY_READ = 0o440


def documents(plan: Plan, settings: OperatorSettings, *, digest: str, operator_namespace: str) -> list[Document]:
    """All but its Secrets; `digest` is that of what its nodes read."""
    return [
        configuration(plan, settings),
        service(plan),
        *(outside(plan, number) for number in range(len(plan.members))),
        *([disruption_budget(plan)] if plan.brokers > 1 else []),
        *([network_policy(plan, operator_namespace)] if settings.network_policies else []),
        stateful_set(plan, settings, digest),
    ]


def configuration(plan: Plan, settings: OperatorSettings) -> Document:
    """The ConfigMap with what the nodes are told."""
    return _named(CONFIG_MAP, plan.namespace) | {"data": {NODE_FILE: plan.node_settings(settings)}}


def service(plan: Plan) -> Document:
    """Gives each broker its name, also while it starts: brokers must find one another to start."""
    ports = [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in _PORTS.items()]
    return _named(SERVICE, plan.namespace) | {
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector(), "ports": ports}
    }


def outside(plan: Plan, number: int) -> Document:
    """The one way in for hospitals in other clusters: to one broker, at the address that it tells them."""
    port: Document = {"name": _MEMBERS, "port": MEMBERS_PORT, "targetPort": MEMBERS_PORT, "protocol": "TCP"}
    if plan.outside.type == "NodePort":
        port["nodePort"] = plan.outside.port + number
    else:
        port["port"] = plan.outside.port
    return _named(SERVICE, plan.namespace, f"{KAFKA}-outside-{number}") | {
        "spec": {
            "type": plan.outside.type,
            # The caller's address is seen as it is, and nobody passes it on to another node.
            "externalTrafficPolicy": "Local" if plan.outside.type == "LoadBalancer" else "Cluster",
            "selector": selector() | {"statefulset.kubernetes.io/pod-name": f"{KAFKA}-{number}"},
            "ports": [port],
        }
    }


def disruption_budget(plan: Plan) -> Document:
    """One of three at a time. A single broker gets none: that would hold up a node's drain for ever."""
    return _named(POD_DISRUPTION_BUDGET, plan.namespace) | {
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector()},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }
    }


def network_policy(plan: Plan, operator_namespace: str) -> Document:
    """Programs of this hub's jobs reach the clients' port, the operator and the brokers theirs; nobody else any."""
    programs = {"matchExpressions": [{"key": COMPONENT, "operator": "In", "values": ["aggregator", "trainer"]}]}
    hospitals, own = {"matchLabels": {HUB: plan.namespace}}, network.in_namespace(plan.namespace)
    brokers = {"podSelector": {"matchLabels": selector()}}
    clients = [{"namespaceSelector": each, "podSelector": programs} for each in (own, hospitals)]
    operator = {"namespaceSelector": network.in_namespace(operator_namespace)}
    return network.policy(
        _named(NETWORK_POLICY, plan.namespace)["metadata"],
        selector(),
        ingress=[
            {"from": clients, "ports": _open(CLIENTS_PORT)},
            {"from": [brokers, operator], "ports": _open(PEERS_PORT)},
            {"from": [brokers], "ports": _open(CONTROLLER_PORT)},
            # From anywhere: who comes shows a certificate that this hub has signed.
            *([{"ports": _open(MEMBERS_PORT)}] if plan.members else []),
        ],
        egress=[network.NAMES, {"to": [brokers], "ports": _open(PEERS_PORT, CONTROLLER_PORT)}],
    )


def _open(*ports: int) -> list[Document]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def stateful_set(plan: Plan, settings: OperatorSettings, digest: str) -> Document:
    """The brokers, each with its own claim, which outlives it and this object."""
    spec = {
        "replicas": plan.brokers,
        "serviceName": KAFKA,
        # A quorum needs several at once to start; and a pod that cannot start must not keep a better one from coming.
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "minReadySeconds": SETTLING_SECONDS if plan.brokers > 1 else 0,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "selector": {"matchLabels": selector()},
        "template": {
            "metadata": {"labels": labels(COMPONENT_NAME), "annotations": {CONFIGURATION: digest}},
            "spec": _pod(plan, settings),
        },
        "volumeClaimTemplates": [_claim(plan)],
    }
    return _named(STATEFUL_SET, plan.namespace) | {"spec": spec}


def _pod(plan: Plan, settings: OperatorSettings) -> Document:
    program = pod.Program(
        name="kafka",
        image=settings.images.kafka,
        arguments=(f"{FOLDER}/{NODE_FILE}",),
        resources=dict(settings.sizes.kafka),
        mounts=(
            pod.Mount(name="settings", path=FOLDER, source={"projected": _files(plan)}),
            # In memory: among the files that a node writes for itself is its key.
            pod.Mount(name="tmp", path=WORK, source={"emptyDir": _IN_MEMORY}, read_only=False),
        ),
    )
    found = pod.spec(program, settings, restart="Always")
    found["containers"] = [_container(plan, found["containers"][0])]
    return found | {
        "terminationGracePeriodSeconds": 60,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector()},
            }
        ],
    }


_IN_MEMORY: Any = {"medium": "Memory", "sizeLimit": "64Mi"}


def _files(plan: Plan) -> Document:
    """One folder: settings, the nodes' certificate and key, and whom they believe, without those ones' keys."""
    members = {"secret": {"name": MEMBERS_SECRET, "items": [{"key": TRUST_FILE, "path": MEMBERS_FILE}]}}
    return {
        "defaultMode": _GROUP_MAY_READ,
        "sources": [
            {"configMap": {"name": KAFKA, "items": _items(NODE_FILE)}},
            {"secret": {"name": BROKERS_SECRET, "items": _items(CERTIFICATE, KEY)}},
            {"secret": {"name": AUTHORITY_SECRET, "items": _items(TRUST_FILE)}},
            *([members] if plan.members else []),
        ],
    }


def _items(*names: str) -> list[Document]:
    return [{"key": name, "path": name} for name in names]


def _container(plan: Plan, ours: Document) -> Document:
    ports = _PORTS | ({_MEMBERS: MEMBERS_PORT} if plan.members else {})
    name = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return ours | {
        "command": ["python", "-m", "consilia.broker.node"],
        "env": [*ours["env"], name],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()],
        "volumeMounts": [*ours["volumeMounts"], {"name": DATA, "mountPath": STATE}],
        # Kafka listens when it serves. After a crash it may first have to read all that it keeps.
        "startupProbe": _UP | {"periodSeconds": 1, "failureThreshold": 900},
        "readinessProbe": _UP | {"periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": _UP | {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
    }


def _claim(plan: Plan) -> Document:
    spec: Document = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": plan.storage}}}
    if plan.storage_class is not None:
        spec[STORAGE_CLASS] = plan.storage_class
    kind = {"apiVersion": PVC.api_version, "kind": PVC.kind}
    return {**kind, "metadata": {"name": DATA, "labels": labels(COMPONENT_NAME)}, "spec": spec}


def selector() -> dict[str, str]:
    """What the brokers' pods are found by."""
    return {MANAGED_BY: labels(COMPONENT_NAME)[MANAGED_BY], COMPONENT: COMPONENT_NAME}


def secret(namespace: str, name: str, files: dict[str, bytes], *, kind: str = "Opaque") -> Document:
    """A Secret of this Kafka's."""
    return _named(SECRET, namespace, name) | {"type": kind, "data": encoded(files)}


def _named(kind: Kind, namespace: str, name: str = KAFKA) -> Document:
    metadata = {"name": name, "namespace": namespace, "labels": labels(COMPONENT_NAME)}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
