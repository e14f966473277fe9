"""What is asked of Strimzi: a Kafka where there is none, a KafkaUser for each party, a KafkaTopic for each topic. Pure.

In the API of Strimzi 1.0 and newer, `kafka.strimzi.io/v1`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from consilia.api import FederatedJob
from consilia.broker.properties import LARGEST_MESSAGE
from consilia.kafka.acl_formats import strimzi_users
from consilia.kafka.acls import Parties, rules
from consilia.kafka.cluster import topic_configuration
from consilia.log import topics
from consilia_operator.kinds import STRIMZI_KAFKA, STRIMZI_NODE_POOL, STRIMZI_TOPIC, STRIMZI_USER, Kind
from consilia_operator.names import (
    FIELD_MANAGER,
    GROUP,
    HOSPITAL,
    JOB,
    JOB_NAMESPACE,
    MANAGED_BY,
    child,
    labels,
    owner_reference,
    task_name,
)
from consilia_operator.transport.interface import AGGREGATOR, Document

CLUSTER_LABEL = "strimzi.io/cluster"
LOG_NAME = f"{GROUP}/log-name"
"""Annotation on what belongs to one job: its name on the log, which is too long for a label."""
BROKERS, STORAGE = 3, "10Gi"
INSIDE_PORT = 9093
"""Of the listener inside the cluster."""
_COPIES, _ENOUGH = 3, 2
_EXTERNAL = "tls-external"
Login = Literal["scram-sha-512", "tls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A job's Strimzi cluster."""

    namespace: str
    cluster: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a job asks of one."""

    job: Document
    hospitals: Sequence[str]
    place: Place
    login: Login
    own_user: str = ""
    """The name of the KafkaUser that the aggregator is, if somebody else makes it."""
    members: Sequence[str] = ()
    """Hospitals in other clusters, whose KafkaUsers are there since they were admitted."""

    @property
    def everybody(self) -> Sequence[str]:
        """All hospitals."""
        return *self.hospitals, *self.members

    @property
    def log_name(self) -> str:
        """The job's name on the log."""
        return FederatedJob.model_validate(self.job).log_name

    @property
    def aggregator(self) -> str:
        """The name of the aggregator's KafkaUser: in a certificate it may have 64 characters."""
        metadata = self.job["metadata"]
        return self.own_user or child(task_name(metadata["name"], metadata["uid"]), AGGREGATOR)

    def users(self) -> list[Document]:
        """A KafkaUser for each party, but not for an aggregator whose user is there already."""
        prefix = "User:CN=" if self.login == "tls" else "User:"
        hospitals = {name: prefix + name for name in self.hospitals}
        hospitals |= {name: f"User:CN={name}" for name in self.members}
        parties = Parties(aggregator=prefix + self.aggregator, hospitals=hospitals)
        every = strimzi_users(rules(self.log_name, parties), cluster=self.place.cluster)
        return [self._user(each) for each in every if each["metadata"]["name"] != self.own_user]

    def _user(self, user: Document) -> Document:
        name = user["metadata"]["name"]
        metadata = self._metadata(STRIMZI_USER, name, whose=name if name in self.everybody else "")["metadata"]
        return (as_external(user) if name in self.members else user) | {"metadata": metadata}

    def topics(self) -> list[Document]:
        """A KafkaTopic for each of the job's topics."""
        job = self.log_name
        compacted = {topics.rounds(job): False, topics.model(job): True, topics.state(job): True}
        compacted |= {topics.up(hospital, job): False for hospital in self.everybody}
        return [
            self._metadata(STRIMZI_TOPIC, name)
            | {"spec": {"partitions": 1, "config": topic_configuration(compacted=how)}}
            for name, how in compacted.items()
        ]

    def _metadata(self, kind: Kind, name: str, *, whose: str = "") -> Document:
        """A hospital's user is for all its jobs; all else is the job's, and goes with it where it can."""
        job = self.job["metadata"]
        own = labels("kafka") | {CLUSTER_LABEL: self.place.cluster, JOB_NAMESPACE: job["namespace"]}
        metadata: Document = {"name": name, "namespace": self.place.namespace}
        if whose:
            metadata["labels"] = own | {HOSPITAL: whose}
        else:
            metadata |= {"labels": own | {JOB: job["name"]}, "annotations": {LOG_NAME: self.log_name}}
            if job["namespace"] == self.place.namespace:
                metadata["ownerReferences"] = [owner_reference(self.job)]
        return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def as_external(user: Document) -> Document:
    """Whose certificate is not Strimzi's to make, only the rules of whoever has it."""
    return user | {"spec": user["spec"] | {"authentication": {"type": _EXTERNAL}}}


def is_member(user: Document) -> bool:
    """Whether it is a hospital in another cluster, which corresponds with its hub also without a job."""
    return bool(user["spec"].get("authentication", {}).get("type") == _EXTERNAL)


def with_rules_of(user: Document, there: Document | None) -> Document:
    """A hospital's user that may do what it might before, too: other jobs lean on that."""
    wanted = user["spec"]["authorization"]["acls"]
    more = [acl for acl in _acls(there) if acl not in wanted] if there else []
    authorization = user["spec"]["authorization"] | {"acls": [*wanted, *more]}
    return user | {"spec": user["spec"] | {"authorization": authorization}}


def without_rules_of(user: Document, log_name: str) -> list[Document]:
    """The rules that are left when a job is gone."""
    gone = {topics.rounds(log_name), topics.model(log_name)}
    return [acl for acl in _acls(user) if acl["resource"].get("name") not in gone]


def jobs_of(user: Document) -> list[str]:
    """The log names of the jobs that a hospital's user may take part in."""
    return topics.jobs(acl["resource"].get("name", "") for acl in _acls(user))


def with_rules(user: Document, acls: Sequence[Document]) -> Document:
    """The same user with these rules, and nothing that the API server adds."""
    metadata = {name: user["metadata"][name] for name in ("name", "namespace", "labels")}
    authentication = user["spec"]["authentication"]
    spec = {"authentication": authentication, "authorization": {"type": "simple", "acls": list(acls)}}
    return {"apiVersion": STRIMZI_USER.api_version, "kind": STRIMZI_USER.kind, "metadata": metadata, "spec": spec}


def is_ours(found: Document, wanted: Document) -> bool:
    """Whether an object of that name was made for the same purpose."""
    there, ours = found["metadata"].get("labels", {}), wanted["metadata"]["labels"]
    return all(there.get(name) == ours.get(name) for name in (MANAGED_BY, JOB_NAMESPACE, HOSPITAL, JOB))


def made_for(namespace: str) -> str:
    """Selects all that was made for the jobs of a namespace."""
    return f"{MANAGED_BY}={FIELD_MANAGER},{JOB_NAMESPACE}={namespace}"


def _acls(user: Document) -> Iterable[Document]:
    return user["spec"].get("authorization", {}).get("acls", ())  # type: ignore[no-any-return]


def kafka(place: Place, listener: str, doors: Sequence[Document] = ()) -> list[Document]:
    """A Kafka of three brokers that holds what managed Kafka does, and its node pool.

    With `doors` for others, whose clients' authority is not Strimzi's own.
    """
    made = _kafka(place, listener)
    if doors:
        made["spec"]["kafka"]["listeners"] += doors
        made["spec"]["clientsCa"] = {"generateCertificateAuthority": False}
    return [_node_pool(place), made]


def _kafka(place: Place, listener: str) -> Document:
    return _named(STRIMZI_KAFKA, place, place.cluster) | {
        "spec": {
            "kafka": {
                "listeners": [
                    {
                        "name": listener,
                        "port": INSIDE_PORT,
                        "type": "internal",
                        "tls": True,
                        "authentication": {"type": "scram-sha-512"},
                    }
                ],
                "authorization": {"type": "simple"},
                "config": {
                    "auto.create.topics.enable": False,
                    "default.replication.factor": _COPIES,
                    "min.insync.replicas": _ENOUGH,
                    "offsets.topic.replication.factor": _COPIES,
                    "transaction.state.log.replication.factor": _COPIES,
                    "transaction.state.log.min.isr": _ENOUGH,
                    "message.max.bytes": LARGEST_MESSAGE,
                    "replica.fetch.max.bytes": LARGEST_MESSAGE,
                    "group.initial.rebalance.delay.ms": 0,
                },
            },
            "entityOperator": {"topicOperator": {}, "userOperator": {}},
        }
    }


def _node_pool(place: Place) -> Document:
    claim = {"id": 0, "type": "persistent-claim", "size": STORAGE, "deleteClaim": False, "kraftMetadata": "shared"}
    document = _named(STRIMZI_NODE_POOL, place, child(place.cluster, "nodes"))
    document["metadata"]["labels"][CLUSTER_LABEL] = place.cluster
    return document | {
        "spec": {
            "replicas": BROKERS,
            "roles": ["controller", "broker"],
            "storage": {"type": "jbod", "volumes": [claim]},
        }
    }


def _named(kind: Kind, place: Place, name: str) -> Document:
    metadata = {"name": name, "namespace": place.namespace, "labels": labels("kafka")}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
