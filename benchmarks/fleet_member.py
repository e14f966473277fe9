"""A hospital of the fleet: its operator's real code, over a Kubernetes that is a dictionary and has no nodes.

What is made up is the runtime: no pod is started, and what a trainer would tell of its rounds is told by `Runtime`.
"""

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from consilia.enrolment.keeping import BUNDLE_FILE, IDENTITY, KEY_FILE, LINK, secret
from consilia.progress import TrainerProgress
from consilia_operator import kinds
from consilia_operator.applying import Applying
from consilia_operator.conditions import timestamp
from consilia_operator.context import Context, now
from consilia_operator.correspondence import agent
from consilia_operator.kinds import Kind
from consilia_operator.ledgers import Ledgers
from consilia_operator.metrics import Metrics
from consilia_operator.names import TASK
from consilia_operator.progress_watch import ProgressWatch, Source
from consilia_operator.settings import OperatorSettings
from consilia_operator.store import Key, Store, key_of, version_of
from consilia_operator.transport.choosing import Transports
from consilia_operator.waking import wake
from consilia_operator.work_queue import WorkQueue
from consilia_operator.working import reconcilers, work
from tests.support.api_server_in_memory import ApiServerInMemory

Document = dict[str, Any]
TASK_NAME = "consilia_workers.tasks.heart_disease:HeartDisease"
DATASET = "heart-disease"
_API = "consilia.dev/v1alpha1"
_IMAGES = {"worker": "localhost/consilia-worker:none", "kafka": "localhost/consilia-kafka:none"}


class Kubernetes(ApiServerInMemory):
    """A dictionary, which tells of every change as watches would."""

    def __init__(self, context: "Member") -> None:
        super().__init__()
        self._member = context

    async def write_status(self, document: Document, status: Mapping[str, Any]) -> Document | None:
        """As the subresource does."""
        return self._changed(document, lambda there: there | {"status": dict(status)})

    async def create(self, document: Document) -> Document:
        """Only Events are created, which nobody reads here."""
        return document

    async def merge(self, kind: Kind, namespace: str, name: str, patch: Document) -> Document | None:
        """RFC 7386, as deep as the operator goes."""
        document = {"kind": kind.kind, "metadata": {"namespace": namespace, "name": name}}
        return self._changed(document, lambda there: _merged(there, patch))

    def _changed(self, document: Document, change: Any) -> Document | None:  # noqa: ANN401
        key = (document["kind"], document["metadata"]["namespace"], document["metadata"]["name"])
        there = self._objects.get(key)
        return None if there is None else self._store(key, change(there))

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> None:
        """At once: there are no finalizers."""
        there = self._objects.get((kind.kind, namespace, name))
        if there and uid in ("", there["metadata"]["uid"]):
            await super().delete(kind, namespace, name)
            gone = there | {"metadata": there["metadata"] | {"resourceVersion": str(next(self._numbers))}}
            self._member.gone(kind, gone)

    def _store(self, key: tuple[str, str, str], document: Document) -> Document:
        document["metadata"].setdefault("creationTimestamp", timestamp(now()))
        made: Document = super()._store(key, document)
        self._member.changed(kinds.of(made), made)
        return made


def _merged(there: Document, patch: Document) -> Document:
    found = dict(there)
    for name, value in patch.items():
        found[name] = _merged(found.get(name) or {}, value) if isinstance(value, dict) else value
    return found


class Runtime(ProgressWatch):
    """Trainers that train nothing: each is a round further whenever it is asked to be."""

    def __init__(self) -> None:
        super().__init__(None, print)  # type: ignore[arg-type]  (nobody is asked over HTTP)

    def follow(self, key: Key, source: Source | None) -> None:
        """There is nobody to hear."""

    def train(self, key: Key, hospital: str) -> None:
        """One more round."""
        before = self.heard(key)
        reached = before.round + 1 if before else 1
        told = TrainerProgress(job=key.name, hospital=hospital, version=reached, state="Training", round=reached)
        self._heard[key] = told


class Member:
    """One hospital."""

    def __init__(self, papers: Mapping[str, str], *, denies: bool) -> None:
        self.name, self.denies = papers["name"], denies
        settings = OperatorSettings.model_validate(
            {"images": _IMAGES, "roles": ["Hospital"], "hospital": self.name, "isolation": "Ignored"}
        )
        self.api: Any = Kubernetes(self)
        self.runtime, store = Runtime(), Store()
        self.queue = WorkQueue[Key]()
        applying = Applying(self.api, store)
        self.context = Context(
            settings=settings,
            namespace=self.name,
            api=self.api,
            store=store,
            queue=self.queue,
            applying=applying,
            progress=self.runtime,
            transport=Transports(self.api, settings, self.name),
            metrics=Metrics(CollectorRegistry()),
            ledgers=Ledgers(api=self.api, applying=applying, settings=settings, operator_namespace=self.name),
        )
        files = {name: base64.b64decode(text) for name, text in papers.items() if name not in {"name", BUNDLE_FILE}}
        own = {name: files[name] for name in files if name != KEY_FILE}
        self.api.put(secret(self.name, IDENTITY, own))
        link = {KEY_FILE: files[KEY_FILE], BUNDLE_FILE: papers[BUNDLE_FILE].encode()}
        self.api.put(secret(self.name, LINK, link))
        self.api.put(_dataset(self.name))

    def changed(self, kind: Kind, document: Document) -> None:
        """A watch says so."""
        self.context.store.put(kind, document)
        for key in wake(self.context.store, key_of(kind, document), document):
            self.queue.add(key)

    def gone(self, kind: Kind, document: Document) -> None:
        """A watch says so."""
        assert version_of(document)
        self.context.store.remove(kind, document)
        for key in wake(self.context.store, key_of(kind, document), document):
            self.queue.add(key)

    async def run(self) -> None:
        """Until cancelled: all of a hospital's operator but its watches, its Lease and its probes."""
        async with asyncio.TaskGroup() as group:
            group.create_task(agent.run(self.context, self.name))
            group.create_task(work(self.context, reconcilers(self.context)))

    async def decide(self) -> None:
        """A person looks at what was offered, where people do so."""
        for task in self.context.store.all(kinds.HOSPITAL_TASK, self.name):
            if self.denies and "decision" not in task["spec"]:
                await self.api.merge(
                    kinds.HOSPITAL_TASK, self.name, task["metadata"]["name"], {"spec": {"decision": "Denied"}}
                )

    def train(self) -> None:
        """All trainers that there should be are a round further."""
        for job in self.context.store.all(kinds.JOB, self.name):
            if task := job["metadata"].get("labels", {}).get(TASK):
                self._start(task)
                key = Key(kinds.HOSPITAL_TASK, self.name, task)
                self.runtime.train(key, self.name)
                self.queue.add(key)

    def _start(self, task: str) -> None:
        """What a kubelet would say of the trainer's pod."""
        if self.context.store.get(Key(kinds.POD, self.name, task)) is None:
            metadata = {"name": task, "namespace": self.name, "labels": {TASK: task}}
            status = {"phase": "Running", "podIP": "192.0.2.1", "containerStatuses": []}
            self.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})


def _dataset(namespace: str) -> Document:
    spec = {"source": {"builtin": {}}, "approval": {"mode": "Automatic", "tasks": [TASK_NAME]}}
    metadata = {"name": DATASET, "namespace": namespace}
    return {"apiVersion": _API, "kind": "Dataset", "metadata": metadata, "spec": spec}
