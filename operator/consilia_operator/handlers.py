"""Every kopf decorator: what its watches say goes into the store and names what is to be looked at. Nothing else."""

import logging
from time import time
from typing import Any

import kopf

from consilia_operator.context import Context
from consilia_operator.heartbeat import NAME as HEARTBEAT
from consilia_operator.heartbeat import Heartbeat
from consilia_operator.kinds import POD_TEMPLATE, Kind
from consilia_operator.names import GROUP
from consilia_operator.store import Document, key_of, version_of
from consilia_operator.waking import OURS, wake


def registry(context: Context, heartbeat: Heartbeat) -> kopf.OperatorRegistry:
    """What kopf is to call."""
    found = kopf.OperatorRegistry()
    kopf.on.login(registry=found)(log_in)
    for kind in OURS:
        group, version = kind.api_version.split("/")
        kopf.on.event(group, version, kind.plural, registry=found)(_hear(context, heartbeat, kind))
    beat = kopf.on.event("", "v1", POD_TEMPLATE.plural, registry=found, when=_is_heartbeat)
    beat(_beat(context, heartbeat))
    return found


def log_in(**arguments: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401
    """As the pod's ServiceAccount, or as kubectl does."""
    return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)


def _is_heartbeat(name: str | None, **_: Any) -> bool:  # noqa: ANN401
    return name == HEARTBEAT


# Handlers are coroutines, though they wait for nothing: kopf runs plain functions in threads, beside the event loop.


def _beat(context: Context, heartbeat: Heartbeat) -> Any:  # noqa: ANN401
    async def beat(event: Any, **_: Any) -> None:  # noqa: ANN401
        heartbeat.came_back(event["object"])
        context.metrics.watch_last_event.labels(POD_TEMPLATE.kind).set(time())

    return beat


def _hear(context: Context, heartbeat: Heartbeat, kind: Kind) -> Any:  # noqa: ANN401
    async def hear(event: Any, **_: Any) -> None:  # noqa: ANN401
        document: Document = {"apiVersion": kind.api_version, "kind": kind.kind} | dict(event["object"])
        key = key_of(kind, document)
        if context.settings.namespaces and key.namespace not in context.settings.namespaces:
            return  # of our own namespace, where kopf looks for the heartbeat
        if event["type"] == "DELETED":
            context.remembered.forget(document["metadata"]["uid"])
            if context.store.remove(kind, document):  # else another has the name by now
                heartbeat.gone(key)
        else:
            context.store.put(kind, document)
            heartbeat.delivered(key, version_of(document))
        for each in wake(context.store, key, document):
            context.queue.add(each)
        context.metrics.watch_last_event.labels(kind.kind).set(time())

    return hear


class NoDiffs(kopf.DiffBaseStorage):
    """Nobody asks kopf what has changed: it need not copy every object at every event to find out."""

    def build(self, *, body: Any, extra_fields: Any = None) -> kopf.BodyEssence:  # noqa: ANN401
        """Nothing of the object is compared."""
        return kopf.BodyEssence()

    def fetch(self, *, body: Any) -> None:  # noqa: ANN401
        """Nothing was kept."""

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:  # noqa: ANN401
        """Nothing is kept."""


def settings() -> kopf.OperatorSettings:
    """Kopf kept to watching: no annotations, no finalizers, no events, no peering; connections that end in time."""
    found = kopf.OperatorSettings()
    found.watching.server_timeout = 300
    found.watching.client_timeout = 330
    found.watching.connect_timeout = 10
    # Our kinds and namespaces are known at the start; nobody need let us watch those of others.
    found.scanning.disabled = True
    found.posting.enabled = False
    found.persistence.finalizer = f"{GROUP}/none"
    found.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    found.persistence.diffbase_storage = NoDiffs()
    # kopf keeps a task and a queue for every object that was heard of so lately, in seconds.
    found.queueing.idle_timeout = 1.0
    found.peering.standalone = True
    # kopf would kill its thread, and with it the whole process, ten minutes after it was told to stop, even if it did.
    found.process.ultimate_exiting_timeout = None
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    return found
