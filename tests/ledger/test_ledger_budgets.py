"""A data set's budget: set, lowered, approved, shared by jobs and by names, and spent."""

from contextlib import suppress
from dataclasses import replace

import pytest
from api_documents import document
from ledgers import account_of, budget, content, open_ledger, plan, reserve, spend_all

from consilia.api import Dataset, PrivacyBudget
from consilia.errors import BudgetError
from consilia.ledger.interface import Budget
from consilia.ledger.journal import read_entries
from consilia_workers.local.plan import _described


@pytest.fixture
def ledger(tmp_path):
    return open_ledger(tmp_path / "ledger")


def entries(ledger):
    return read_entries(ledger.folder / "ledger.jsonl")[0]


def test_a_lowered_budget_stops_what_was_promised_under_it(ledger):
    account = account_of(ledger)
    ledger.admit(account, "job", plan(ledger.affords(account, "job", plan(1000))))
    reserve(ledger, account)
    ledger.set_budget(account, budget("0.5"))

    with pytest.raises(BudgetError, match=r"ε = 0\.5"):
        reserve(ledger, account, round_number=2)
    assert ledger.state(account).exhausted


ASKED = {"epsilon": "3", "delta": "1e-5", "epsilonPerJob": "1"}
APPROVAL = {"by": "Board", "reason": "a second study", "afterGap": 7}


@pytest.mark.parametrize(("approved", "counts"), [("3", True), ("3.0", True), ("2", False)])
def test_a_dataset_asks_for_the_same_budget_in_a_cluster_and_in_a_local_run(approved, counts):
    asked = PrivacyBudget.model_validate({**ASKED, "approval": {**APPROVAL, "epsilon": approved}})
    approval = {"approved_by": "Board", "reason": "a second study", "after_gap": 7} if counts else {}
    assert Budget.of(asked) == budget("3", epsilon_per_job="1", **approval)

    dumped = asked.model_dump(by_alias=True, exclude_none=True)
    dataset = Dataset.model_validate(document("Dataset", {"publicSize": 100, "privacyBudget": dumped}))
    assert _described("riverside", dataset).budget.as_budget() == Budget.of(asked)


@pytest.mark.parametrize(
    "more", [budget("4"), budget("3", epsilon_per_job="2"), budget("3")], ids=["ε", "cap", "no cap"]
)
def test_more_than_before_needs_an_approval(ledger, more):
    account = ledger.register("heart", content(), "Record")
    ledger.set_budget(account, budget("3", epsilon_per_job="1"))

    with pytest.raises(BudgetError, match="the ledger has a budget of ε = 3"):
        ledger.set_budget(account, more)
    approved = budget(more.epsilon, epsilon_per_job=more.epsilon_per_job, approved_by="Board", reason="new cohort")
    ledger.set_budget(account, approved)
    assert (entries(ledger)[-1].approved_by, entries(ledger)[-1].reason) == ("Board", "new cohort")


APPROVED = {"approved_by": "Board", "reason": "a second study"}
TWO_NAMES = {
    "nobody approved more": ({}, {}),
    "the larger one is approved": (APPROVED, {}),
    "each is approved": (APPROVED, {"approved_by": "Dean", "reason": "caution"}),
    "both by the same words": (APPROVED, APPROVED),
}


@pytest.mark.parametrize("approvals", TWO_NAMES.values(), ids=TWO_NAMES)
def test_two_names_of_the_same_data_with_different_budgets_have_the_lower_one(ledger, approvals):
    account = ledger.register("heart", content("heart"), "Record")
    assert ledger.register("copy", content("heart"), "Record") == account
    asked = [budget("3", **approvals[0]), budget("2", epsilon_per_job="1", **approvals[1])]
    lengths = []
    for _ in range(5):
        for each in asked:
            with suppress(BudgetError):
                ledger.set_budget(account, each)
        lengths.append(ledger.head().entries)

    told = ledger.state(account)
    assert (told.epsilon, told.epsilon_per_job) == (2, 1)
    assert lengths[1:] == lengths[1:2] * 4
    assert open_ledger(ledger.folder).state(account) == told


def test_an_approval_raises_a_budget_once(ledger):
    account = account_of(ledger, "2")
    agreed = budget("3", **APPROVED)
    ledger.set_budget(account, agreed)
    ledger.set_budget(account, replace(agreed, epsilon_per_job="1"))
    assert not entries(ledger)[-1].approved_by  # nobody needs to agree to less
    with pytest.raises(BudgetError, match=r"ε = 3 .*The approval was used before.*anew, with a new reason"):
        ledger.set_budget(account, agreed)

    ledger.set_budget(account, replace(agreed, reason="a third study"))
    assert ledger.state(account).epsilon_per_job is None


def test_an_approval_of_a_joined_account_was_used_too(ledger):
    one, other = account_of(ledger, "3", "one"), account_of(ledger, "2", "other")
    ledger.set_budget(other, budget("4", **APPROVED))
    ledger.set_budget(other, budget("2"))
    ledger.register("one", content("other"), "Record")

    with pytest.raises(BudgetError, match="was used before"):
        ledger.set_budget(one, budget("4", **APPROVED))


def test_the_same_numbers_in_other_words_are_no_other_budget(ledger):
    account, before = account_of(ledger, "3"), len(entries(ledger))
    ledger.set_budget(account, replace(budget("3.0"), delta="0.00001"))
    assert len(entries(ledger)) == before


def test_an_approved_budget_ends_exhaustion(ledger):
    account = account_of(ledger, "1")
    spend_all(ledger, account)
    ledger.set_budget(account, budget("2", approved_by="Board", reason="because"))

    assert not ledger.state(account).exhausted
    reserve(ledger, account, round_number=100)


def test_the_hospital_caps_what_one_job_may_spend_whatever_it_asks_for(ledger):
    account = ledger.register("heart", content(), "Record")
    ledger.set_budget(account, budget("8", epsilon_per_job="1"))
    most = ledger.affords(account, "one", plan(1000))

    assert most == ledger.affords(account, "other", plan(1000)) < 20
    with pytest.raises(BudgetError, match="at most 1 for one job, affords"):
        ledger.admit(account, "one", plan(most + 1))


def test_data_of_which_one_job_has_spent_its_share_is_not_exhausted(ledger):
    account = ledger.register("heart", content(), "Record")
    ledger.set_budget(account, budget("8", epsilon_per_job="2"))
    refused = spend_all(ledger, account)

    assert refused.by_job
    assert "at most 2 for one job, does not afford another" in str(refused)
    assert not ledger.state(account).exhausted
    reserve(ledger, account, job="other")


def test_data_of_which_the_rest_is_promised_to_others_is_not_exhausted(ledger):
    account = account_of(ledger)
    most = ledger.affords(account, "job", plan(1000))
    ledger.admit(account, "other", plan(most))

    with pytest.raises(BudgetError, match="beside what is promised to others") as refused:
        reserve(ledger, account, job="one")
    assert refused.value.by_job
    assert not ledger.state(account).exhausted
    ledger.give_back(account, "other")
    reserve(ledger, account, job="one")
    spend_all(ledger, account)
    assert ledger.state(account).exhausted
