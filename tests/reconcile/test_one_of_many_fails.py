"""One of many is refused, or fails: the others are dealt with all the same."""

import asyncio
from types import SimpleNamespace

import pytest
from api_documents import document
from observed import NOON, progress, shown
from transport_in_memory import TransportInMemory

from consilia.errors import LogUnavailableError
from consilia_operator import reconcile, sweeping
from consilia_operator.correspondence.desks import Desks
from consilia_operator.errors import ApiRefused
from consilia_operator.kinds import FEDERATED_JOB, HOSPITAL, HOSPITAL_TASK, STATEFUL_SET
from consilia_operator.memory import Memory
from consilia_operator.names import JOB, JOB_NAMESPACE, JOB_UID
from consilia_operator.store import Key, Store

OLD = {JOB: "study", JOB_NAMESPACE: "hub", JOB_UID: "uid-of-the-old-one"}


class Refusing:
    """An API server, as far as these two ask for it; namespace `a` refuses everything."""

    def __init__(self):
        self.done = []

    async def merge(self, _, namespace, name, patch):
        await self.delete(_, namespace, name, uid="")

    async def delete(self, _, namespace, name, *, uid):
        if namespace == "a":
            raise ApiRefused(403, "a policy forbids it")
        self.done.append(namespace)

    async def get(self, *_):
        return None

    def forget(self, *_):
        pass

    def forget_labelled(self, *_, living):
        pass


@pytest.fixture
def tasks():
    return {name: shown("HospitalTask", {".metadata.namespace": name}, labels=OLD, uid=f"of-{name}") for name in "abc"}


def test_the_others_give_back_their_trainers(tasks):
    api = Refusing()
    seen = SimpleNamespace(document=shown("FederatedJob", {}, uid="u"), tasks=tasks, now=NOON)
    asyncio.run(reconcile.withdraw(SimpleNamespace(api=api, desks=Desks()), seen))
    assert api.done == ["b", "c"]


def test_the_others_are_swept(tasks):
    api, store, looked_at = Refusing(), Store(), []
    for task in tasks.values():
        store.put(HOSPITAL_TASK, task)
    context = SimpleNamespace(
        api=api,
        store=store,
        applying=api,
        progress=api,
        remembered=Memory(),
        look_at=lambda *key: looked_at.append(key),
    )
    asyncio.run(sweeping.clear_away(context, Key(FEDERATED_JOB, "hub", "study")))
    assert (api.done, len(looked_at)) == (["b", "c"], 1)


def test_the_others_are_swept_from_the_log():
    retired = []

    async def retire(job):
        retired.append(job.name)
        if job.name == "one":
            raise LogUnavailableError("the brokers do not answer.")

    async def orphans(_, living):
        return [name for name in ("one.1", "two.2") if not living(name)]

    transport = SimpleNamespace(orphans=orphans, retire=retire)
    context = SimpleNamespace(api=Refusing(), store=Store(), transport=transport)
    with pytest.raises(LogUnavailableError):
        asyncio.run(sweeping.sweep_log(context, Key(STATEFUL_SET, "hub", "consilia-kafka")))
    assert retired == ["one", "two"]


def test_a_job_made_anew_is_heard_though_an_old_ones_task_cannot_be_deleted(tasks):
    api, store, forgotten = Refusing(), Store(), []
    store.put(HOSPITAL_TASK, tasks["a"])
    api.get = lambda *_: answered(shown("FederatedJob"))
    context = SimpleNamespace(
        api=api, store=store, applying=api, progress=SimpleNamespace(forget=forgotten.append), remembered=Memory(),
        look_at=lambda *_: None,
    )  # fmt: skip
    asyncio.run(sweeping.clear_away(context, Key(FEDERATED_JOB, "hub", "study")))
    assert forgotten == []


async def answered(found):
    return found


def test_only_a_task_of_another_job_is_an_older_ones(tasks):
    store = Store()
    tasks["b"]["metadata"]["labels"] = {JOB: "study", JOB_NAMESPACE: "hub"}  # by hand
    tasks["c"]["metadata"]["labels"] = OLD | {JOB_UID: "uid-of-study"}
    for task in tasks.values():
        store.put(HOSPITAL_TASK, task)
    found = sweeping.older(SimpleNamespace(store=store), Key(FEDERATED_JOB, "hub", "study"), "uid-of-study")
    assert [task["metadata"]["namespace"] for task in found] == ["a"]


def test_what_an_older_jobs_aggregator_said_is_not_this_ones():
    old, new = (shown("FederatedJob", uid=f"{number}" * 8) for number in "12")
    said = progress(old)
    context = SimpleNamespace(progress=SimpleNamespace(heard=lambda _: said))
    assert reconcile._heard(context, old) == said
    assert reconcile._heard(context, new) is None


def test_who_was_deleted_while_no_operator_ran_is_expelled_and_who_was_made_just_now_is_not():
    transport, store = TransportInMemory(), Store()
    transport.admitted = {"known", "gone", "new"}
    known = document("Hospital", {".metadata.name": "known"})
    store.put(HOSPITAL, known | {"metadata": known["metadata"] | {"namespace": "hub", "resourceVersion": "1"}})
    api = SimpleNamespace(get=lambda _, __, name: answered(None if name == "gone" else known))
    asyncio.run(sweeping.sweep_members(SimpleNamespace(api=api, store=store, transport=transport), "hub"))
    assert transport.expelled == [("hub", "gone")]
