"""A list takes a while; what the watches say in the meantime is newer than what it found."""

import asyncio

import pytest
from api_documents import document
from event_loop import in_event_loop, until
from prometheus_client import CollectorRegistry
from running_operator import settings

from consilia_operator import handlers, resync, run
from consilia_operator.heartbeat import Heartbeat
from consilia_operator.kinds import FEDERATED_JOB, POD
from consilia_operator.store import Key, Store
from consilia_operator.watching import Watch

KEY = Key(FEDERATED_JOB, "hub", "study")


def job(version, uid="1"):
    found = document("FederatedJob", {".metadata.namespace": "hub"})
    found["metadata"] |= {"resourceVersion": str(version), "uid": uid}
    return found


def pod(version, name="study"):
    return {"metadata": {"name": name, "namespace": "hub", "uid": name, "resourceVersion": str(version)}}


class SlowServer:
    """Its lists are as of version 10; before an answer arrives, `meanwhile` happens."""

    def __init__(self, kind, *found):
        self.kind, self.found, self.meanwhile = kind, found, []

    async def snapshot(self, kind, namespace, selector=""):
        if kind != self.kind:
            return [], "10"
        for happens in self.meanwhile:
            await happens
        return list(self.found), "10"


class Operator:
    """As much of one as hears and lists."""

    def __init__(self, *found):
        self.api = SlowServer(FEDERATED_JOB, *found)
        place = run.Place(namespace="consilia", pod="test")
        self.context = run.make_context(settings(), place, self.api, None, CollectorRegistry())
        self.heartbeat = Heartbeat(self.api, "consilia", 0)
        self._hear = handlers._hear(self.context, self.heartbeat, FEDERATED_JOB)

    def hears(self, kind, found):
        return self._hear(event={"type": kind, "object": found})

    def version(self):
        found = self.context.store.get(KEY)
        return found["metadata"]["resourceVersion"] if found else None

    def deaf(self):
        return [each for each in self.heartbeat.problems() if "does not show" in each]


@pytest.mark.parametrize(
    ("before", "listed", "meanwhile", "after"),
    [
        ([], [], [("ADDED", job(11))], "11"),
        ([job(9)], [job(9)], [("DELETED", job(11))], None),
        ([], [job(9)], [("ADDED", job(9)), ("DELETED", job(11))], None),
        ([job(9)], [job(9)], [("MODIFIED", job(11))], "11"),
        ([job(9)], [job(9)], [("DELETED", job(11)), ("ADDED", job(12, "2"))], "12"),
        # kopf hears of every uid by itself: the end of one may come after the beginning of the next of its name.
        ([job(9)], [job(9)], [("ADDED", job(12, "2")), ("DELETED", job(11))], "12"),
    ],
)
@in_event_loop
async def test_what_is_heard_while_a_list_is_under_way_stands_and_no_watch_is_called_deaf(
    before, listed, meanwhile, after
):
    operator = Operator(*listed)
    for each in before:
        await operator.hears("ADDED", each)
    operator.api.meanwhile = [operator.hears(*each) for each in meanwhile]
    await resync.resync(operator.context, operator.heartbeat)
    assert operator.version() == after
    assert operator.deaf() == []


@in_event_loop
async def test_what_the_watch_missed_is_found_by_a_list_and_must_come_through_it_then():
    operator = Operator(job(9))
    await resync.resync(operator.context, operator.heartbeat)
    assert operator.version() == "9"
    assert operator.deaf() == ["the watch of federatedjobs does not show what is there"]
    await operator.hears("ADDED", job(9))
    assert operator.deaf() == []
    operator.api.found = ()
    await resync.resync(operator.context, operator.heartbeat)
    assert operator.version() is None
    await operator.hears("MODIFIED", job(10))  # that came late: it was gone by then
    assert operator.version() is None


@in_event_loop
async def test_what_went_before_the_watches_had_begun_is_missed_soon_after_the_start(monkeypatch):
    monkeypatch.setattr(resync, "_AT_WORK", 0.01)
    operator = Operator(job(9))
    await resync.first(operator.context)
    operator.api.found = ()
    running = asyncio.create_task(resync.run(operator.context, operator.heartbeat))
    await until(lambda: operator.version() is None)
    assert await operator.context.queue.take() == KEY
    running.cancel()


@in_event_loop
async def test_what_the_operator_makes_while_its_watch_begins_anew_is_not_taken_for_gone():
    store, told = Store(), []

    async def apply(found):
        store.put(POD, found)

    api = SlowServer(POD, pod(8, "listed"))
    watch = Watch(api=api, store=store, kind=POD, namespace="", selector="", changed=lambda *of: told.append(of))
    store.put(POD, pod(7, "old"))
    api.meanwhile = [apply(pod(11, "made"))]
    assert await watch.list() == "10"
    assert {each["metadata"]["name"] for each in store.all(POD)} == {"listed", "made"}
    assert [key.name for key, _ in told] == ["listed", "old"]
