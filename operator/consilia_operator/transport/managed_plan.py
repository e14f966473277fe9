"""A namespace's managed Kafka: how big it is, what it is called, what its nodes are told. Pure."""

import base64
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from consilia.api.infrastructure import ManagedTransport
from consilia.broker.node import CLIENTS_PORT, PEERS_PORT, NodeSettings
from consilia.errors import ManifestError
from consilia_operator.names import KAFKA
from consilia_operator.settings import OperatorSettings, Outside
from consilia_operator.transport.interface import Document
from consilia_operator.transport.leaves import BROKER, OPERATOR
from consilia_operator.transport.quantity import in_bytes

MEMBERS_SECRET = f"{KAFKA}-members-ca"
"""Of the authority that signs hospitals' certificates, and nothing else."""
AUTHORITY_SECRET, BROKERS_SECRET, OPERATOR_SECRET = f"{KAFKA}-ca", f"{KAFKA}-brokers", f"{KAFKA}-operator"
DATA = "data"
"""The name of each pod's claim."""
FOLDER, STATE, WORK = "/etc/consilia", "/var/lib/consilia", "/tmp"  # noqa: S108 (an emptyDir of the pod's own)
NODE_FILE, TRUST_FILE, MEMBERS_FILE = "node.json", "ca.crt", "members.crt"
STORAGE_CLASS = "storageClassName"
_NOT_OUTSIDE = Outside()
_LEAST_HEAP = 256 << 20
_WITHOUT_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What does not change while a namespace's Kafka is there."""

    namespace: str
    brokers: int
    storage: str
    """Of each broker, as Kubernetes writes it."""
    storage_class: str | None
    domain: str
    """Of the cluster's names."""
    outside: Outside = _NOT_OUTSIDE
    """For hospitals in other clusters."""

    @classmethod
    def wanted(cls, namespace: str, asked: ManagedTransport | None, settings: OperatorSettings) -> Self:
        """For a namespace that has none."""
        asked = asked or ManagedTransport()
        return cls(
            namespace=namespace,
            brokers=asked.brokers,
            storage=asked.storage,
            storage_class=settings.storage.storage_class,
            domain=settings.cluster_domain,
            outside=settings.outside.of_managed,
        )

    @classmethod
    def found(cls, stateful_set: Document, settings: OperatorSettings) -> Self:
        """As the namespace has it; its claims can never change."""
        spec = stateful_set["spec"]
        claim = spec["volumeClaimTemplates"][0]["spec"]
        return cls(
            namespace=stateful_set["metadata"]["namespace"],
            brokers=spec["replicas"],
            storage=claim["resources"]["requests"]["storage"],
            storage_class=claim.get(STORAGE_CLASS),
            domain=settings.cluster_domain,
            outside=settings.outside.of_managed,
        )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Each broker's name."""
        inside = f"{KAFKA}.{self.namespace}.svc.{self.domain}"
        return tuple(f"{KAFKA}-{number}.{inside}" for number in range(self.brokers))

    @property
    def names(self) -> tuple[str, ...]:
        """What its certificate is for."""
        inside = (*self.hosts, f"{KAFKA}.{self.namespace}.svc.{self.domain}", f"{KAFKA}.{self.namespace}.svc")
        return (*inside, *dict.fromkeys(each.rpartition(":")[0].strip("[]") for each in self.members))

    @property
    def members(self) -> tuple[str, ...]:
        """Where hospitals in other clusters begin; empty if they cannot."""
        if self.outside.type == "None":
            return ()
        return tuple(self.outside.address(number) for number in range(self.brokers))

    @property
    def clients(self) -> tuple[str, ...]:
        """Where the parties of a job begin."""
        return tuple(f"{host}:{CLIENTS_PORT}" for host in self.hosts)

    @property
    def peers(self) -> tuple[str, ...]:
        """Where the operator begins."""
        return tuple(f"{host}:{PEERS_PORT}" for host in self.hosts)

    @property
    def enough(self) -> int:
        """So many brokers take what is written."""
        return self.brokers // 2 + 1

    def cluster_id(self) -> str:
        """Always the same for a namespace, so that no loss of an object can part nodes from their data."""
        digest = sha256(f"{KAFKA}/{self.namespace}".encode()).digest()[:16]
        return "c" + base64.urlsafe_b64encode(digest).decode().rstrip("=")[1:]

    def node_settings(self, settings: OperatorSettings) -> str:
        """The file that the nodes read."""
        outside = self.members or [""] * self.brokers
        told = NodeSettings.model_validate(
            {
                "cluster": self.cluster_id(),
                "nodes": [{"host": host, "members": at} for host, at in zip(self.hosts, outside, strict=True)],
                "membersTrust": f"{FOLDER}/{MEMBERS_FILE}" if self.members else None,
                "data": f"{STATE}/kafka",
                "work": f"{WORK}/kafka",
                "certificate": f"{FOLDER}/tls.crt",
                "key": f"{FOLDER}/tls.key",
                "trust": f"{FOLDER}/{TRUST_FILE}",
                "superUsers": [BROKER, OPERATOR],
                "heap": heap(settings),
            }
        )
        return json.dumps(told.model_dump(mode="json", by_alias=True, exclude_defaults=True), indent=1, sort_keys=True)

    def asks_for_more(self, asked: ManagedTransport) -> bool:
        """Whether the job would like larger disks than there are."""
        try:
            return in_bytes(asked.storage) > in_bytes(self.storage)
        except ManifestError:  # somebody else wrote the claim
            return False


def heap(settings: OperatorSettings) -> str:
    """Half of a broker's memory for Java; the rest is for buffers, threads, and the pages of its files.

    Raises:
        ManifestError: its memory is no amount.
    """
    sizes = settings.sizes.kafka
    memory = sizes.get("limits", {}).get("memory") or sizes.get("requests", {}).get("memory")
    try:
        half = (in_bytes(memory) if memory else _WITHOUT_LIMIT) // 2
    except ManifestError as error:
        message = f"operator.sizes.kafka gives a broker a memory that cannot be read: {error.message}"
        raise ManifestError(message, remedy=error.remedy) from None
    return f"{max(half, _LEAST_HEAP) >> 20}m"
