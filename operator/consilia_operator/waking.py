"""Which objects are to be looked at when one has changed. Pure."""

from collections.abc import Iterator

from consilia_operator import kinds
from consilia_operator.conditions import finished, holds
from consilia_operator.manifests.ledger import COMPONENT_NAME as LEDGER_COMPONENT
from consilia_operator.names import COMPONENT, DATASET, JOB, JOB_NAMESPACE, KAFKA, TASK
from consilia_operator.store import Document, Key, Store, key_of

OURS = (kinds.FEDERATED_JOB, kinds.HOSPITAL, kinds.DATASET, kinds.HOSPITAL_TASK)
KAFKA_COMPONENT = KAFKA.removeprefix("consilia-")


def wake(store: Store, key: Key, document: Document) -> Iterator[Key]:
    """The object itself, if it is ours to reconcile, and all that depend on it."""
    if key.kind in OURS:
        yield key
        yield from _dependents(store, key, document)
        return
    if key.kind == kinds.NAMESPACE:
        yield from _hospitals_called(store, key.name)
        return
    labels = document["metadata"].get("labels", {})
    if labels.get(COMPONENT) == KAFKA_COMPONENT:
        yield Key(kinds.STATEFUL_SET, key.namespace, KAFKA)
        yield from _waiting_jobs(store, key.namespace, "TransportReady")
        yield from _waiting_members(store, key.namespace)
    elif labels.get(COMPONENT) == LEDGER_COMPONENT:
        yield from (key_of(kinds.DATASET, each) for each in store.all(kinds.DATASET, key.namespace))
    elif DATASET in labels:
        yield Key(kinds.DATASET, key.namespace, labels[DATASET])
    elif TASK in labels:
        yield Key(kinds.HOSPITAL_TASK, key.namespace, labels[TASK])
    elif JOB in labels:
        yield Key(kinds.FEDERATED_JOB, key.namespace, labels[JOB])


def _dependents(store: Store, key: Key, document: Document) -> Iterator[Key]:
    match key.kind:
        case kinds.HOSPITAL:
            yield from _waiting_jobs(store, key.namespace, "Accepted")
        case kinds.DATASET:
            yield from _offers_of(store, key)
            yield from _hospitals_called(store, key.namespace)
        case kinds.HOSPITAL_TASK:
            yield Key(kinds.DATASET, key.namespace, document["spec"]["dataset"])
            labels = document["metadata"].get("labels", {})
            if labels.get(JOB) and labels.get(JOB_NAMESPACE):  # somebody may have made one by hand
                yield Key(kinds.FEDERATED_JOB, labels[JOB_NAMESPACE], labels[JOB])


def _waiting_jobs(store: Store, namespace: str, condition: str) -> Iterator[Key]:
    """Jobs of the namespace that do not have this condition yet."""
    for job in store.all(kinds.FEDERATED_JOB, namespace):
        conditions = job.get("status", {}).get("conditions", ())
        if not finished(conditions) and not holds(conditions, condition):
            yield Key(kinds.FEDERATED_JOB, namespace, job["metadata"]["name"])


def _waiting_members(store: Store, namespace: str) -> Iterator[Key]:
    """Hospitals in other clusters that have not joined yet: some are admitted as soon as Kafka is up."""
    for hospital in store.all(kinds.HOSPITAL, namespace):
        if hospital["spec"].get("cluster") == "Own" and not holds(
            hospital.get("status", {}).get("conditions", ()), "Joined"
        ):
            yield key_of(kinds.HOSPITAL, hospital)


def _offers_of(store: Store, dataset: Key) -> Iterator[Key]:
    for task in store.all(kinds.HOSPITAL_TASK, dataset.namespace):
        if task["spec"]["dataset"] == dataset.name:
            yield Key(kinds.HOSPITAL_TASK, dataset.namespace, task["metadata"]["name"])


def _hospitals_called(store: Store, namespace: str) -> Iterator[Key]:
    """The Hospitals whose namespace this is, on whatever hub."""
    for hospital in store.all(kinds.HOSPITAL):
        if hospital["metadata"]["name"] == namespace:
            yield Key(kinds.HOSPITAL, hospital["metadata"]["namespace"], namespace)
