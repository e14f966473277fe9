"""Who may talk to our pods, and to whom they may talk: the log, names, and nothing else."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consilia.progress import STATUS_PORT
from consilia_operator.kinds import NETWORK_POLICY
from consilia_operator.names import COMPONENT, FIELD_MANAGER, KAFKA, MANAGED_BY
from consilia_operator.transport.interface import KAFKA_JSON

Document = dict[str, Any]

CLIENTS_PORT = 9093
NAMESPACE_NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class LogAddress:
    """Where the log is, as a NetworkPolicy can say it."""

    namespace: str
    """Of managed Kafka; empty if it is elsewhere."""
    ports: tuple[int, ...] = (CLIENTS_PORT,)

    def egress(self) -> Document:
        """The rule that lets through to it. Elsewhere is anywhere: a NetworkPolicy knows no host names."""
        rule: Document = {"ports": [{"protocol": "TCP", "port": port} for port in self.ports]}
        if self.namespace:
            brokers = {"matchLabels": {MANAGED_BY: FIELD_MANAGER, COMPONENT: "kafka"}}
            rule["to"] = [{"namespaceSelector": in_namespace(self.namespace), "podSelector": brokers}]
        return rule


def address_of(credentials: Mapping[str, bytes], cluster_domain: str) -> LogAddress:
    """Where a party's credentials lead: to managed Kafka, by the name of its Service, to a proxy, or elsewhere."""
    told = json.loads(credentials[KAFKA_JSON])
    addresses = [told["proxy"].rpartition("/")[2]] if "proxy" in told else told["bootstrapServers"]
    parts = [address.rpartition(":") for address in addresses]
    ports = tuple(sorted({int(port) for _, _, port in parts}))
    ours = re.compile(rf"(?:[a-z0-9-]+\.)?{KAFKA}\.([a-z0-9-]+)\.svc(?:\.{re.escape(cluster_domain)})?")
    spaces = {found[1] if (found := ours.fullmatch(host)) else "" for host, _, _ in parts}
    return LogAddress(spaces.pop() if len(spaces) == 1 else "", ports)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who may ask our programs where they stand."""

    operator_namespace: str
    monitoring: Mapping[str, str]
    """Labels of the namespaces that Prometheus may be in; empty is all."""
    port: int = STATUS_PORT

    def ingress(self) -> Document:
        """The rule that lets them in."""
        monitoring = {"matchLabels": dict(self.monitoring)} if self.monitoring else {}
        return {
            "from": [
                {"namespaceSelector": in_namespace(self.operator_namespace)},
                {"namespaceSelector": monitoring},
            ],
            "ports": [{"protocol": "TCP", "port": self.port}],
        }


def in_namespace(name: str) -> Document:
    """Selects one namespace by its name."""
    return {"matchLabels": {NAMESPACE_NAME: name}}


_NODE_LOCAL_DNS = "169.254.20.10/32"
"""Where NodeLocal DNSCache listens on every node, which is no pod's address."""
NAMES: Document = {
    "to": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": _NODE_LOCAL_DNS}}],
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
}
"""DNS, wherever the cluster has it."""


def policy(
    metadata: Document, pods: Mapping[str, str], *, ingress: Sequence[Document], egress: Sequence[Document]
) -> Document:
    """Only this, in both directions, for the pods with these labels."""
    return {
        "apiVersion": NETWORK_POLICY.api_version,
        "kind": NETWORK_POLICY.kind,
        "metadata": metadata,
        "spec": {
            "podSelector": {"matchLabels": dict(pods)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": list(ingress),
            "egress": list(egress),
        },
    }
