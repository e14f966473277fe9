"""What the operator asks of a real API server, and what it makes of the answers; and its own watches."""

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from api_documents import document
from event_loop import in_event_loop, until
from relay import relay_to

from consilia_operator import kinds
from consilia_operator.api_server import connect
from consilia_operator.applying import Applying
from consilia_operator.conditions import Finding, confirmed, settle
from consilia_operator.context import now
from consilia_operator.errors import ApiRefused, Conflict
from consilia_operator.events import event
from consilia_operator.kinds import CERTIFICATE, CONFIG_MAP, DEPLOYMENT, EVENT, FEDERATED_JOB, JOB, SECRET
from consilia_operator.names import FIELD_MANAGER, MANAGED_BY
from consilia_operator.store import Key, Store
from consilia_operator.watching import Watch

pytestmark = pytest.mark.slow  # starting the API server may take long on a busy machine


@pytest.fixture
def namespace(cluster, request):
    name = "-".join(request.node.name.split("_")[1:8])[:50].strip("-")
    cluster.namespace(name)
    return name


def config_map(namespace, name="paper", labels=None, **data):
    metadata = {"name": name, "namespace": namespace, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@in_event_loop
async def test_what_is_applied_is_so_and_what_others_wrote_beside_it_stays(namespace):
    async with connect() as api:
        await api.apply(config_map(namespace, a="1", b="2"))
        await api.merge(CONFIG_MAP, namespace, "paper", {"data": {"c": "theirs", "a": "wrong"}})
        await api.apply(config_map(namespace, a="1"))
        assert (await api.get(CONFIG_MAP, namespace, "paper"))["data"] == {"a": "1", "c": "theirs"}


@in_event_loop
async def test_what_is_made_once_is_never_written_over(namespace):
    async with connect() as api:
        first = await api.create_once(config_map(namespace, a="1"))
        assert await api.create_once(config_map(namespace, a="2")) == first
        with pytest.raises(Conflict):
            await api.create(config_map(namespace, a="2"))


@in_event_loop
async def test_what_has_changed_since_it_was_read_is_not_written_over(namespace):
    async with connect() as api:
        read = await api.create(config_map(namespace, a="1"))
        await api.merge(CONFIG_MAP, namespace, "paper", {"data": {"a": "2"}})
        with pytest.raises(Conflict):
            await api.replace(read | {"data": {"a": "3"}})


@in_event_loop
async def test_a_status_is_written_whole_and_only_over_the_one_that_was_read(namespace):
    async with connect() as api:
        job = await api.create(document("FederatedJob", {".metadata.namespace": namespace}))
        conditions = settle([], [Finding("Accepted", True, "Valid")], 1, now())
        written = await api.write_status(job, {"round": 3, "conditions": conditions})
        assert (written["status"]["round"], written["status"]["conditions"]) == (3, conditions)
        shorter = await api.write_status(written, {"conditions": conditions})
        assert "round" not in shorter["status"]
        assert shorter["status"]["conditions"] == conditions
        with pytest.raises(Conflict):
            await api.write_status(written, {"round": 4})
        with pytest.raises(ApiRefused, match="reason"):
            await api.write_status(shorter, {"conditions": [conditions[0] | {"reason": "no reason"}]})
        await api.delete(FEDERATED_JOB, namespace, "study")
        assert await api.write_status(shorter, {"round": 4}) is None


@in_event_loop
async def test_only_the_one_that_is_meant_is_deleted(namespace):
    async with connect() as api:
        made = await api.create(config_map(namespace))
        await api.delete(CONFIG_MAP, namespace, "paper", uid="another")
        assert await api.get(CONFIG_MAP, namespace, "paper") == made
        await api.delete(CONFIG_MAP, namespace, "paper", uid=made["metadata"]["uid"])
        await api.delete(CONFIG_MAP, namespace, "paper", uid=made["metadata"]["uid"])
        assert await api.get(CONFIG_MAP, namespace, "paper") is None


@in_event_loop
async def test_the_kinds_of_others_are_there_or_not(namespace):
    async with connect() as api:
        assert [await api.exists(kind) for kind in (FEDERATED_JOB, JOB, SECRET)] == [True, True, True]
        assert await api.exists(CERTIFICATE) is False


@in_event_loop
async def test_a_list_is_chosen_by_label_and_whole(namespace):
    async with connect() as api:
        for number in range(7):
            await api.create(config_map(namespace, f"paper-{number}", {"odd": str(number % 2)}))
        odd = await api.list(CONFIG_MAP, namespace, "odd=1")
        assert [each["metadata"]["name"] for each in odd] == ["paper-1", "paper-3", "paper-5"]
        assert {each["kind"] for each in odd} == {"ConfigMap"}


@pytest.mark.parametrize("letter", ["a", "ε", "…"])
@in_event_loop
async def test_the_longest_condition_in_any_language_becomes_an_event(letter, cluster):
    async with connect() as api:
        found = Finding("QuorumMet", False, "NoGpuFree", letter * 1024)
        regarding = {"apiVersion": "v1", "kind": "ConfigMap",
                     "metadata": {"name": "x", "namespace": "default", "uid": "1"}}  # fmt: skip
        posted = await api.create(event(regarding, settle([], [found], 1, now())[0], now()))
        assert (posted["type"], posted["reason"], posted["kind"]) == ("Normal", "NoGpuFree", EVENT.kind)


def through(relay, kubeconfig, tmp_path):
    found = json.loads(Path(kubeconfig).read_text())
    found["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{relay.port}"
    (tmp_path / "kubeconfig").write_text(json.dumps(found))
    return str(tmp_path / "kubeconfig")


def watch_of(api, namespace, store, woken):
    return Watch(
        api=api, store=store, kind=CONFIG_MAP, namespace=namespace, selector=f"{MANAGED_BY}={FIELD_MANAGER}",
        changed=lambda key, _: woken.append(key.name),
    )  # fmt: skip


@in_event_loop
async def test_a_watch_hears_all_that_is_ours_and_misses_nothing_when_the_server_is_away(
    namespace, kubeconfig, tmp_path, monkeypatch
):
    port, store, woken = (
        urlsplit(json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]).port,
        Store(),
        [],
    )
    ours = {MANAGED_BY: FIELD_MANAGER}
    async with connect() as outside, relay_to(port) as relay:
        monkeypatch.setenv("KUBECONFIG", through(relay, kubeconfig, tmp_path))
        async with connect() as api:
            watching = asyncio.create_task(watch_of(api, namespace, store, woken).run())
            await outside.create(config_map(namespace, "first", ours))
            await outside.create(config_map(namespace, "a-strangers"))
            await until(lambda: woken == ["first"])
            await relay.cut()
            await outside.create(config_map(namespace, "second", ours))
            await outside.delete(CONFIG_MAP, namespace, "first")
            await relay.mend()
            await until(lambda: set(woken) == {"first", "second"} and store.get(Key(CONFIG_MAP, namespace, "second")))
            assert store.get(Key(CONFIG_MAP, namespace, "first")) is None
            await outside.create(config_map(namespace, "third", ours))
            await until(lambda: "third" in woken)
            assert not watching.done()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


@in_event_loop
async def test_what_is_applied_is_asked_for_once_and_again_when_somebody_changed_it(namespace):
    async with connect() as api:
        store = Store()
        applying = Applying(api, store)
        wanted = deployment(namespace)
        await applying.apply(wanted)
        made = await api.get(DEPLOYMENT, namespace, "made")
        await applying.apply(wanted)
        assert (await api.get(DEPLOYMENT, namespace, "made"))["metadata"]["resourceVersion"] == (
            made["metadata"]["resourceVersion"]
        )
        drifted = await api.merge(DEPLOYMENT, namespace, "made", {"spec": {"replicas": 3}})
        store.put(DEPLOYMENT, drifted)
        await applying.apply(wanted)
        assert (await api.get(DEPLOYMENT, namespace, "made"))["spec"]["replicas"] == 1
        await api.delete(DEPLOYMENT, namespace, "made")
        store.remove(DEPLOYMENT, store.get(Key(DEPLOYMENT, namespace, "made")))
        await applying.apply(wanted)
        assert await api.get(DEPLOYMENT, namespace, "made")


def deployment(namespace):
    labels = {"app": "made"}
    pod = {"containers": [{"name": "one", "image": "example/none:1"}]}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    metadata = {"name": "made", "namespace": namespace}
    return {"apiVersion": kinds.DEPLOYMENT.api_version, "kind": "Deployment", "metadata": metadata, "spec": spec}


def test_a_final_status_is_confirmed_for_the_generation_that_follows():
    condition = {"type": "Done", "status": "True", "reason": "Finished", "observedGeneration": 1}
    found = confirmed({"observedGeneration": 1, "conditions": [condition], "round": 3}, 2)
    assert found == {"observedGeneration": 2, "conditions": [condition | {"observedGeneration": 2}], "round": 3}
