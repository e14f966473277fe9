"""A hospital's privacy budget in the cluster: its ledger, its data known by content, jobs let in or kept out."""

import json
import secrets

import pytest
from api_documents import document
from hospital_in_memory import BUDGETED, CLAIMED, HUB, NAME, PRIVATE
from observed import joined

from consilia.api import HospitalTask
from consilia.api.federated_job import name_on_log
from consilia.ledger.chain import Head
from consilia.ledger.interface import Budget
from consilia.ledger.ledger import Ledger
from consilia_operator import kinds
from consilia_operator.store import key_of


def spend(here, times=1, job="elsewhere", dataset="patients"):
    """What a trainer does."""
    account = here.ledger.find(dataset)
    plan = here.ledger.plan(offered_spec(), 1000)
    for _ in range(times):
        here.ledger.reserve(account, job, 1, plan.training, nonce=secrets.token_hex(16), purpose="Training")


def offered_spec():
    return HospitalTask.model_validate(document("HospitalTask", PRIVATE)).spec


def test_data_without_a_budget_needs_no_ledger(here):
    here.apply(CLAIMED)
    key = here.offer()
    here.look()
    assert here.says("Ready") == ("True", "ClaimFound")
    assert here.task_says(key, "Admitted") == ("True", "NoBudget")
    assert here.trainer(key)
    assert not here.there(kinds.DEPLOYMENT, "consilia-ledger")
    assert {"epsilonReserved", "epsilonSpent"} & here.task_status(key).keys() == set()


def test_a_hospital_gets_its_ledger_with_its_first_budget_and_nothing_owns_it(here):
    here.apply({**CLAIMED, **BUDGETED})
    here.look()
    assert here.says("Ready") == ("False", "LedgerUnavailable")
    made = {each["kind"]: each for each in here.api.every() if each["metadata"]["name"] == "consilia-ledger"}
    assert set(made) == {"PersistentVolumeClaim", "ConfigMap", "Service", "NetworkPolicy", "Deployment"}
    assert all("ownerReferences" not in each["metadata"] for each in made.values())
    assert not [call for call in here.api.calls if call[0] == "delete"]


def test_data_is_ready_once_the_ledger_knows_what_is_in_it(here):
    here.start_ledger().apply({**CLAIMED, **BUDGETED})
    here.look()
    assert here.says("Ready") == ("False", "Inspecting")
    assert here.ledger.find("patients") is None
    assert here.inspect() == 0
    here.look()
    assert here.says("Ready") == ("True", "Inspected")
    assert here.says("Tampered") == ("False", "LedgerWhole")
    assert here.says("Exhausted") == ("False", "BudgetLeft")
    status, told = here.status(), here.ledger.state(here.ledger.find("patients"))
    assert (status["spent"], status["reserved"], status["available"]) == ("0", "0", "3")
    assert (status["ledgerEntries"], status["ledgerHead"]) == (told.head.entries, told.head.digest)
    assert status["fingerprint"] == told.fingerprints[0]


def test_another_source_is_inspected_anew(ready):
    before = ready.status()["fingerprint"]
    ready.data.write_text("other patients altogether,1\n")
    ready.apply({"source": {"persistentVolumeClaim": {"claimName": "records", "subPath": "2027"}}, **BUDGETED})
    ready.look()
    assert ready.says("Ready") == ("False", "Inspecting")
    ready.inspect()
    ready.look()
    assert ready.says("Ready") == ("True", "Inspected")
    assert ready.status()["fingerprint"] != before


def test_data_that_cannot_be_inspected_says_so_and_the_hub_is_not_told_the_words(ready):
    ready.apply({"source": {"persistentVolumeClaim": {"claimName": "records", "subPath": "gone"}}, **BUDGETED})
    ready.look()
    ready.ended("patients-inspection", "Failed")
    key = ready.offer(PRIVATE)
    ready.look()
    assert ready.says("Ready") == ("False", "InspectionFailed")
    assert "cannot be inspected" not in ready.told(key, "Approved")
    assert "InspectionFailed" in ready.told(key, "Approved")


def test_deleting_renaming_and_recreating_a_dataset_refunds_nothing(ready):
    spend(ready, 3)
    ready.look()
    spent = ready.status()["spent"]
    assert float(spent) > 0
    ready.api.gone(kinds.DATASET, NAME, "patients")
    ready.apply({**CLAIMED, **BUDGETED})
    key = ready.offer(PRIVATE)
    ready.look()
    assert ready.says("Ready") == ("False", "Inspecting"), "an older Dataset's inspection does not count"
    assert not ready.trainer(key)
    ready.inspect()
    ready.look()
    assert ready.status()["spent"] == spent
    ready.ready(name="renamed")
    assert ready.status("renamed")["spent"] == spent
    assert ready.status("renamed")["fingerprint"] == ready.status()["fingerprint"]


def test_a_budget_that_was_raised_by_recreating_needs_an_approval(ready):
    ready.api.gone(kinds.DATASET, NAME, "patients")
    more = {"publicSize": 1000, "privacyBudget": {"epsilon": "8", "delta": "1e-5"}}
    ready.ready(more)
    assert ready.says("Ready") == ("False", "BudgetNotApproved")
    assert (ready.status()["budget"], ready.status()["available"]) == ("3", "3")
    agreed = {"epsilon": "8", "by": "ethics committee", "reason": "a second study"}
    ready.apply({**CLAIMED, **more, "privacyBudget.approval": agreed})
    ready.look()
    assert ready.says("Ready") == ("True", "Inspected")
    assert ready.status()["available"] == "8"
    ready.apply({**CLAIMED, "publicSize": 1000, "privacyBudget": {"epsilon": "2", "delta": "1e-5"}})
    ready.look()
    assert ready.status()["available"] == "2"


@pytest.mark.parametrize("recreated", [False, True], ids=["the same Dataset", "a Dataset made anew"])
def test_an_older_copy_of_the_ledger_is_noticed_and_stops_everything(ready, recreated):
    ready.api.put(joined(NAME))
    ready.api.put({"apiVersion": "v1", "kind": "Namespace",
                   "metadata": {"name": NAME, "labels": {"consilia.dev/hub": HUB}}})  # fmt: skip
    ready.look()
    with ready.rolled_back():
        spend(ready, 2)
        key = ready.offer(PRIVATE)
        ready.look()
        assert ready.trainer(key)
    if recreated:
        ready.api.gone(kinds.DATASET, NAME, "patients")
        ready.apply({**CLAIMED, **BUDGETED})
    ready.look()
    assert ready.says("Tampered") == ("True", "LedgerChanged")
    assert ready.says("Ready") == ("False", "LedgerChanged")
    assert not ready.trainer(key)
    assert ready.task_says(key, "Approved") == ("False", "DatasetNotReady")
    assert "LedgerChanged" in ready.told(key, "Approved")
    assert "docs/guides/ledger.md" not in ready.told(key, "Approved"), "the hub is told what kind of trouble, no more"


REFUSED = {
    "without privacy": ({}, {}, "Denied", "PrivacyRequired", "spec.privacy"),
    "for each patient": (
        {"privacy": {"epsilon": "1", "unit": "Patient"}}, {}, "Denied", "UnitMismatch", "privacy.unit: Record",
    ),
    "of too many rounds": (
        {**PRIVATE, "privacy": {"noiseMultiplier": "0.6"}, "rounds": {"count": 500}}, {},
        "Denied", "BudgetExceeded", "of the job's 500 rounds",
    ),
    "of more than a job may": (
        PRIVATE, {"privacyBudget.epsilonPerJob": "0.5"}, "Denied", "BudgetExceeded", "at most 0.5 for one job",
    ),
    "that no noise can keep": (
        {"privacy": {"epsilon": "0.001", "evaluation": "Charged", "evaluationNoise": "0.1"}}, {},
        "Denied", "PrivacyImpossible", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_a_job_that_the_budget_does_not_let_in_is_refused_before_anything_is_made(ready, case):
    job, dataset, of_type, reason, told = case
    ready.apply({**CLAIMED, **BUDGETED, **dataset})
    before = {(each["kind"], each["metadata"]["name"]) for each in ready.api.every()}
    key = ready.offer(job)
    ready.look()
    assert ready.task_says(key, of_type) == ("True", reason)
    assert told in ready.told(key, of_type)
    made = {(each["kind"], each["metadata"]["name"]) for each in ready.api.every()} - before
    assert made == {("HospitalTask", key.name), ("ConfigMap", key.name), ("Secret", f"{key.name}-log")}
    assert ready.context.metrics.denials.labels(reason)._value.get() == 1


def test_a_refusal_says_how_many_rounds_the_budget_affords(ready):
    key = ready.offer({**PRIVATE, "privacy": {"noiseMultiplier": "1"}, "rounds": {"count": 500}})
    ready.look()
    affords = int(ready.told(key, "Denied").split("affords ")[1].split()[0])
    assert 0 < affords < 500
    fewer = ready.offer({**PRIVATE, "privacy": {"noiseMultiplier": "1"}, "rounds": {"count": affords}}, "fewer")
    ready.look()
    assert ready.task_says(fewer, "Admitted") == ("True", "BudgetReserved")


def test_a_private_job_needs_data_of_a_known_size(here):
    here.apply(CLAIMED)
    key = here.offer(PRIVATE)
    here.look()
    assert here.task_says(key, "Approved") == ("False", "PublicSizeMissing")
    assert not here.trainer(key)


def test_what_an_admitted_job_needs_is_kept_before_its_trainer_is_made(ready):
    key = ready.offer(PRIVATE)
    ready.look()
    assert ready.task_says(key, "Admitted") == ("True", "BudgetReserved")
    assert "ε = " in ready.told(key, "Admitted")
    status, dataset = ready.task_status(key), ready.status()
    assert 1.5 < float(status["epsilonReserved"]) <= 2
    assert status["epsilonSpent"] == "0"
    assert float(dataset["reserved"]) == pytest.approx(float(status["epsilonReserved"]), abs=0.01)
    assert float(dataset["available"]) < 3 - 1.5
    settings = json.loads(ready.there(kinds.CONFIG_MAP, f"{key.name}-trainer")["data"]["settings.json"])
    wanted = {"ledger": f"http://consilia-ledger.{NAME}.svc:8085", "unit": "Record", "public_size": 1000,
              "budgeted": True}  # fmt: skip
    assert wanted.items() <= settings.items()
    second = ready.offer({**PRIVATE, "privacy": {"epsilon": "3"}}, "second")
    ready.look()
    assert ready.task_says(second, "Denied") == ("True", "BudgetExceeded")


def test_two_operators_one_after_the_other_keep_it_once(ready):
    key = ready.offer(PRIVATE)
    ready.look()
    before = ready.task_status(key)["epsilonReserved"]
    ready.restart_operator()
    ready.look()
    assert ready.task_says(key, "Admitted") == ("True", "BudgetReserved")
    assert ready.task_status(key)["epsilonReserved"] == before


def test_data_that_a_task_brings_along_has_an_account_before_its_first_trainer(here):
    here.start_ledger().apply(BUDGETED)
    key = here.offer(PRIVATE)
    here.look()
    assert here.says("Ready") == ("True", "Described")
    assert here.task_says(key, "Admitted") == ("True", "BudgetReserved")
    assert here.trainer(key)


ENDINGS = {
    "done": lambda here, key: here.ended(f"{key.name}-trainer", "Complete"),
    "suspended": lambda here, key: here.change(key, suspend=True),
    "denied": lambda here, key: here.change(key, decision="Denied"),
    "deleted": lambda here, key: here.api.gone(kinds.HOSPITAL_TASK, NAME, key.name),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS.keys())
def test_what_was_kept_for_a_job_is_free_again_when_it_is_over(ready, end):
    key = ready.offer(PRIVATE)
    ready.look()
    end(ready, key)
    ready.look()
    assert ready.status()["available"] == "3"
    if task := ready.there(kinds.HOSPITAL_TASK, key.name):
        assert task["status"]["epsilonReserved"] == "0"


def test_a_trainer_whose_budget_is_spent_is_done_and_tells_what_it_spent(ready):
    key = ready.offer(PRIVATE)
    ready.look()
    task = ready.there(kinds.HOSPITAL_TASK, key.name)
    spend(ready, 2, job=name_on_log("study", task["spec"]["job"]["uid"]))
    ready.ended(f"{key.name}-trainer", "Failed", "Container trainer failed with exit code 77 matching FailJob rule")
    ready.look()
    assert ready.task_says(key, "Training") == ("False", "BudgetExhausted")
    assert ready.task_says(key, "Done") == ("True", "BudgetExhausted")
    assert float(ready.task_status(key)["epsilonSpent"]) > 0
    assert ready.task_status(key)["epsilonReserved"] == "0"


def test_a_budget_that_affords_no_more_says_so(ready):
    account, plan = ready.ledger.find("patients"), ready.ledger.plan(offered_spec(), 1000)
    ready.ledger.set_budget(account, Budget(epsilon="0.0001", delta="1e-5"))
    with pytest.raises(Exception, match="afford"):
        ready.ledger.reserve(account, "x", 1, plan.training, nonce="0" * 32, purpose="Training")
    ready.apply({**CLAIMED, "publicSize": 1000, "privacyBudget": {"epsilon": "0.0001", "delta": "1e-5"}})
    ready.look()
    assert ready.says("Exhausted") == ("True", "BudgetExhausted")


def test_a_ledger_that_is_away_takes_nothing_back_and_lets_nobody_in(ready):
    first = ready.offer({**PRIVATE, "privacy": {"epsilon": "1"}})
    ready.look()
    ready.stop_ledger()
    second = ready.offer({**PRIVATE, "privacy": {"epsilon": "1"}}, "second")
    ready.look()
    assert ready.says("Ready")[0] == "True"
    assert ready.trainer(first)
    assert ready.task_says(first, "Admitted") == ("True", "BudgetReserved")
    assert ready.task_says(second, "Admitted") == ("False", "LedgerUnavailable")
    assert not ready.trainer(second)
    ready.start_ledger().look()
    assert ready.task_says(second, "Admitted") == ("True", "BudgetReserved")


def test_the_ledger_remembers_a_budget_that_a_new_dataset_does_not_name(ready):
    ready.api.gone(kinds.DATASET, NAME, "patients")
    ready.apply(CLAIMED)
    key = ready.offer()
    ready.look()
    ready.inspect()
    ready.look()
    assert ready.status()["available"] == "3"
    assert ready.task_says(key, "Denied") == ("True", "PrivacyRequired")


def test_the_hub_keeps_the_end_of_the_ledger(ready):
    hospital = ready.api.put(joined(NAME))
    ready.api.put({"apiVersion": "v1", "kind": "Namespace",
                   "metadata": {"name": NAME, "labels": {"consilia.dev/hub": HUB}}})  # fmt: skip
    ready.look()
    kept = ready.api.there(kinds.HOSPITAL, HUB, key_of(kinds.HOSPITAL, hospital).name)["status"]["ledger"]
    assert kept == {"entries": ready.status()["ledgerEntries"], "head": ready.status()["ledgerHead"]}


def test_a_gap_that_somebody_accepted_is_no_alarm_and_counts_as_spent(ready):
    with ready.rolled_back():
        spend(ready, 2)
        ready.look()
    ready.look()
    assert ready.says("Tampered") == ("True", "LedgerChanged")
    lost = Head(ready.status()["ledgerEntries"], ready.status()["ledgerHead"])
    hospitals = Ledger(ready.folder / "ledger", ready.identity)
    number = hospitals.accept_gap([lost], "the data officer", "the disk was lost")
    ready.look()
    assert ready.says("Tampered") == ("False", "LedgerWhole")
    assert ready.says("Exhausted") == ("True", "LedgerGap")
    key = ready.offer(PRIVATE)
    ready.look()
    assert ready.task_says(key, "Denied") == ("True", "BudgetExceeded")
    agreed = {"epsilon": "3", "by": "data board", "reason": "counted by hand", "afterGap": number}
    ready.apply({**CLAIMED, **BUDGETED, "privacyBudget.approval": agreed})
    ready.look()
    assert ready.says("Exhausted") == ("False", "BudgetLeft")
    again = ready.offer(PRIVATE, "again")
    ready.look()
    assert ready.task_says(again, "Admitted") == ("True", "BudgetReserved")
