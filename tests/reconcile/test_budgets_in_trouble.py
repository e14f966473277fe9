"""What of a hospital's privacy budget must hold when things go wrong: outages, refusals, changes in the middle."""

from hospital_in_memory import BUDGETED, CLAIMED, PRIVATE


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
