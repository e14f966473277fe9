"""What of a hospital's privacy budget must hold when things go wrong: outages, refusals, changes in the middle."""

import asyncio
import base64
import json
import socket
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import monotonic, time

import pytest
from hospital_in_memory import BUDGETED, CLAIMED, HUB, NAME, PRIVATE
from observed import joined

from consilia.ledger.chain import Head
from consilia.ledger.ledger import Ledger
from consilia_operator import datasets, kinds, ledgers
from consilia_operator.conditions import condition
from consilia_operator.store import Key


def test_a_job_whose_promise_was_given_back_needs_another_before_it_is_trained_again(ready):
    key = ready.offer(PRIVATE)
    ready.look()
    ready.apply({**CLAIMED, **BUDGETED, "approval": {"mode": "Manual"}})
    ready.look()
    assert ready.task_says(key, "Approved") == ("False", "WaitingForApproval")
    assert ready.task_says(key, "Admitted") == ("False", "Withdrawn")
    ready.stop_ledger()
    ready.change(key, decision="Approved")
    ready.look()
    assert ready.task_says(key, "Admitted") == ("False", "LedgerUnavailable")
    assert not ready.trainer(key)
    ready.start_ledger().look()
    assert ready.task_says(key, "Admitted") == ("True", "BudgetReserved")
    assert ready.trainer(key)


def no_services(here):
    """The API server takes no Service any more, and the operator has forgotten that it made one."""
    here.api.serves.remove(kinds.SERVICE)
    here.restart_operator()


@pytest.mark.parametrize("harm", [lambda here: here.stop_ledger(), no_services], ids=["away", "refused"])
def test_an_edit_of_the_dataset_while_the_ledger_cannot_be_had_stops_no_trainer(ready, harm):
    key = ready.offer(PRIVATE)
    ready.look()
    made = ready.trainer(key)["metadata"]["uid"]
    harm(ready)
    ready.apply({**CLAIMED, **BUDGETED, "approval.tasks": ["package.module:Task", "package.module:Other"]})
    ready.look()
    assert ready.says("Ready")[0] == "True"
    assert ready.trainer(key)["metadata"]["uid"] == made


def test_other_data_is_not_ready_while_the_ledger_is_away(ready):
    ready.stop_ledger()
    ready.apply({"source": {"persistentVolumeClaim": {"claimName": "records", "subPath": "2027"}}, **BUDGETED})
    ready.look()
    assert ready.says("Ready") == ("False", "LedgerUnavailable")


def test_a_larger_budget_that_nobody_approved_stops_no_job_that_was_let_in(ready):
    first = ready.offer({**PRIVATE, "privacy": {"epsilon": "1"}})
    ready.look()
    ready.apply({**CLAIMED, **BUDGETED, "privacyBudget.epsilon": "8"})
    second = ready.offer({**PRIVATE, "privacy": {"epsilon": "1"}}, "second")
    ready.look()
    assert ready.says("Ready") == ("False", "BudgetNotApproved")
    assert ready.task_says(first, "Admitted") == ("True", "BudgetReserved")
    assert ready.trainer(first)
    assert ready.task_says(second, "Approved") == ("False", "DatasetNotReady")


@pytest.mark.parametrize("restarted", [False, True], ids=["the same operator", "another"])
def test_another_public_size_changes_nothing_of_a_job_that_runs(ready, restarted):
    key = ready.offer(PRIVATE)
    ready.look()
    made, kept = ready.trainer(key)["metadata"]["uid"], ready.ledger.state(ready.ledger.find("patients")).reserved
    ready.apply({**CLAIMED, **BUDGETED, "publicSize": 5000})
    if restarted:
        ready.restart_operator()
    ready.look()
    assert ready.trainer(key)["metadata"]["uid"] == made
    assert ready.ledger.state(ready.ledger.find("patients")).reserved == kept
    ready.change(key, suspend=True)
    ready.look()
    ready.change(key, suspend=False)
    ready.look()
    assert settings_of(ready, key)["public_size"] == 5000, "what is begun anew is promised anew"


def settings_of(here, key):
    return json.loads(here.there(kinds.CONFIG_MAP, f"{key.name}-trainer")["data"]["settings.json"])


def identity_of(here):
    return here.there(kinds.SECRET, "consilia-identity")


def consenting(here):
    here.api.put(joined(NAME))
    labels = {"consilia.dev/hub": HUB}
    here.api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME, "labels": labels}})


def hospital_says(here):
    return condition(here.api.there(kinds.HOSPITAL, HUB, NAME)["status"]["conditions"], "Joined")


@pytest.mark.parametrize("left", ["PersistentVolumeClaim", "Deployment"])
def test_a_lost_key_is_not_replaced_where_a_ledger_was_signed_with_it(ready, left):
    consenting(ready)
    ready.look()
    other = {"PersistentVolumeClaim": kinds.DEPLOYMENT, "Deployment": kinds.PVC}[left]
    ready.api.gone(other, NAME, "consilia-ledger")
    lost = ready.api.gone(kinds.SECRET, NAME, "consilia-identity")
    ready.restart_operator()
    ready.look()
    assert identity_of(ready) is None
    told = hospital_says(ready)
    assert told["reason"] == "IdentityDamaged"
    assert "Restore it from a backup" in told["message"]
    assert "delete secret" not in told["message"]
    ready.apply(name="others", changes={**CLAIMED, **BUDGETED})
    ready.look()
    assert ready.says("Ready", "others") == ("False", "LedgerRefused")
    ready.api.put(lost)
    ready.look()
    assert hospital_says(ready)["reason"] == "KeyShown"
    assert ready.says("Tampered") == ("False", "LedgerWhole")


def test_a_key_is_made_where_there_is_no_ledger(here):
    here.api.gone(kinds.SECRET, NAME, "consilia-identity")
    consenting(here)
    here.look()
    assert hospital_says(here)["reason"] == "KeyShown"
    assert identity_of(here)


def test_the_public_key_follows_from_the_private_one_of_a_backup(ready):
    consenting(ready)
    whole = identity_of(ready)
    for kept in ({"identity.pem": whole["data"]["identity.pem"]}, whole["data"]):
        ready.api.put(whole | {"data": kept})
        ready.look()
        assert hospital_says(ready)["reason"] == "KeyShown"
        shown = ready.api.there(kinds.HOSPITAL, HUB, NAME)["status"]["publicKey"]
        assert shown == base64.b64decode(whole["data"]["public.pem"]).decode()


def test_a_damaged_key_that_a_ledger_is_signed_with_is_not_to_be_deleted(ready):
    consenting(ready)
    ready.api.put(identity_of(ready) | {"data": {}})
    ready.look()
    assert hospital_says(ready)["reason"] == "IdentityDamaged"
    assert "delete secret" not in hospital_says(ready)["message"]


def image_of(here, job):
    found = here.there(kinds.JOB, job)
    return found and found["spec"]["template"]["spec"]["containers"][0]["image"]


def upgraded(here, image):
    """The operator is started anew with another image for what it makes."""
    here.restart_operator()
    images = here.context.settings.images.model_copy(update={"worker": image})
    here.context = replace(here.context, settings=here.context.settings.model_copy(update={"images": images}))


def test_an_inspection_that_cannot_start_is_made_anew_once_the_settings_are_right(here):
    here.start_ledger().apply({**CLAIMED, **BUDGETED})
    here.look()
    assert image_of(here, "patients-inspection") == "worker:1"
    upgraded(here, "worker:2")
    here.look()
    assert image_of(here, "patients-inspection") == "worker:2"
    here.inspect()
    upgraded(here, "worker:3")
    here.look()
    assert here.says("Ready") == ("True", "Inspected")
    assert image_of(here, "patients-inspection") == "worker:2", "one that has ended well stays"


def parts_of_the_ledger(here):
    found = [each for each in here.api.every() if each["metadata"]["name"] == "consilia-ledger"]
    return {kinds.of(each) for each in found}


def test_a_namespace_that_was_made_anew_gets_a_whole_ledger(ready):
    ready.stop_ledger()
    made = parts_of_the_ledger(ready)
    for kind in made:
        ready.api.gone(kind, NAME, "consilia-ledger")
    ready.api.gone(kinds.SECRET, NAME, "consilia-identity")
    ready.api.gone(kinds.JOB, NAME, "patients-inspection")
    ready.api.gone(kinds.DATASET, NAME, "patients")
    ready.apply({**CLAIMED, **BUDGETED})
    ready.look()
    assert parts_of_the_ledger(ready) == made
    assert kinds.PVC in made


class Sidecar(BaseHTTPRequestHandler):
    """What stands between, and lets nobody through."""

    def do_POST(self):
        self.send_error(403, "RBAC: access denied")

    def log_message(self, *_):
        pass


@contextmanager
def behind_a_sidecar(here):
    with ThreadingHTTPServer(("127.0.0.1", 0), Sidecar) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        here.context.ledgers.address = lambda _: f"http://127.0.0.1:{server.server_port}"
        yield
        here.context.ledgers.address = lambda _: here.address
        server.shutdown()


@contextmanager
def of_another_time(here):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("consilia.ledger.remote.time", lambda: time() + 400)
        yield


@contextmanager
def without_its_key(here):
    lost = here.api.gone(kinds.SECRET, NAME, "consilia-identity")
    yield
    here.api.put(lost)


@contextmanager
def on_a_full_volume(here):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("consilia.ledger.journal._write_all", full)
        yield


@pytest.mark.parametrize(
    "trouble", [behind_a_sidecar, of_another_time, without_its_key, on_a_full_volume], ids=lambda each: each.__name__
)
def test_a_ledger_that_cannot_be_used_is_not_taken_for_tampered_with(ready, trouble):
    first = ready.offer({**PRIVATE, "privacy": {"epsilon": "1"}})
    ready.look()
    with trouble(ready):
        ready.apply({**CLAIMED, **BUDGETED, "privacyBudget.epsilon": "2.5"})
        second = ready.offer({**PRIVATE, "privacy": {"epsilon": "1"}}, "second")
        ready.look()
        assert ready.says("Tampered") == ("False", "LedgerWhole")
        assert ready.says("Ready")[0] == "True"
        assert ready.trainer(first)
        assert ready.task_says(second, "Admitted") == ("False", "LedgerRefused")
        ready.apply({**CLAIMED, **BUDGETED}, "others")
        ready.look()
        assert not ready.trainer(second)
    ready.look()
    assert ready.task_says(second, "Admitted") == ("True", "BudgetReserved")


def test_data_that_an_older_copy_of_the_ledger_does_not_know_is_looked_at_again(here):
    here.start_ledger()
    with here.rolled_back():
        here.ready()
    before, lost = here.status()["fingerprint"], Head(here.status()["ledgerEntries"], here.status()["ledgerHead"])
    Ledger(here.folder / "ledger", here.identity).accept_gap([lost], "the data officer", "the disk was lost")
    here.look()
    assert here.says("Ready") == ("False", "Inspecting")
    here.look()
    here.inspect()
    here.look()
    assert here.says("Ready") == ("True", "Inspected")
    assert here.status()["fingerprint"] == before
    assert here.says("Exhausted") == ("True", "LedgerGap")


@pytest.mark.parametrize(("approved", "ready_then"), [("8.0", True), ("80e-1", True), ("5", False)])
def test_an_approval_is_of_a_number_in_whatever_digits(ready, approved, ready_then):
    agreed = {"epsilon": approved, "by": "ethics committee", "reason": "a second study"}
    ready.apply({**CLAIMED, **BUDGETED, "privacyBudget.epsilon": "8", "privacyBudget.approval": agreed})
    ready.look()
    told = condition(ready.status()["conditions"], "Ready")
    assert (told["status"] == "True") is ready_then
    assert ("Its approval is of ε = 5, not of 8" in told["message"]) is not ready_then


@contextmanager
def hanging(here):
    """Connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        here.context.ledgers.address = lambda _: f"http://127.0.0.1:{server.getsockname()[1]}"
        yield
        here.context.ledgers.address = lambda _: here.address


def test_a_ledger_that_hangs_is_asked_once_in_a_while(ready, monkeypatch):
    monkeypatch.setattr(ledgers, "_PATIENCE", 0.3)
    monkeypatch.setattr(ledgers, "_LONG", 0.1)
    key = ready.offer(PRIVATE)
    with hanging(ready):
        ready.look()
        began = monotonic()
        for _ in range(5):
            ready.look()
        assert monotonic() - began < 2, "nobody waits for it"
        assert ready.task_says(key, "Admitted") == ("False", "LedgerUnavailable")
        assert "did not answer in time. It is asked again in" in ready.told(key, "Admitted")
        monkeypatch.setattr(ledgers, "_LEFT_ALONE", 0.0)
        ready.context.ledgers._hanging[NAME] = monotonic()
    ready.look()
    assert ready.task_says(key, "Admitted") == ("True", "BudgetReserved")


def test_an_inspection_that_failed_is_looked_at_now_and_then(here):
    here.start_ledger().apply({**CLAIMED, **BUDGETED})
    here.look()
    here.ended("patients-inspection", "Failed")
    here._sync()
    again = asyncio.run(datasets.reconcile(here.context, Key(kinds.DATASET, NAME, "patients")))
    assert here.says("Ready") == ("False", "InspectionFailed")
    assert again >= 60


def test_a_ledger_rests_while_somebody_restores_it(ready):
    def replicas():
        return ready.there(kinds.DEPLOYMENT, "consilia-ledger")["spec"]["replicas"]

    key = ready.offer(PRIVATE)
    ready.look()
    deployment = ready.there(kinds.DEPLOYMENT, "consilia-ledger")
    deployment["metadata"].setdefault("annotations", {})["consilia.dev/resting"] = "Dr. Lee restores Monday's copy"
    ready.api.put(deployment)
    ready.apply({**CLAIMED, **BUDGETED}, "others")
    ready.look()
    assert replicas() == 0
    assert ready.says("Ready", "others") == ("False", "LedgerUnavailable")
    assert ready.trainer(key)
    rested = ready.there(kinds.DEPLOYMENT, "consilia-ledger")
    del rested["metadata"]["annotations"]["consilia.dev/resting"]
    ready.api.put(rested)
    ready.look()
    assert replicas() == 1
