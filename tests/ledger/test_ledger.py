"""A ledger in use: what is afforded, charged, given back and denied."""

import os
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import ROUND, account_of, budget, content, open_ledger, plan, reserve, spend_all

from consilia.errors import BudgetError, LedgerError
from consilia.ledger.accounts import Accounts
from consilia.ledger.content import Content
from consilia.ledger.entries import AccountOpened, Promised, Reserved, Returned
from consilia.ledger.journal import read_entries
from consilia.privacy.accounting import curve, epsilon
from consilia.privacy.mechanisms import Mechanism


@pytest.fixture
def ledger(tmp_path):
    return open_ledger(tmp_path / "ledger")


def entries(ledger):
    return read_entries(ledger.folder / "ledger.jsonl")[0]


def test_a_budget_of_n_rounds_runs_exactly_n(ledger):
    account = account_of(ledger)
    n = ledger.affords(account, "job", plan(1000))
    ledger.admit(account, "job", plan(n))
    for number in range(1, n + 1):
        reserve(ledger, account, round_number=number)

    assert n > 10
    with pytest.raises(BudgetError, match=r"does not afford another 10 x SampledGaussian noise of 2 on samples of 0.1"):
        reserve(ledger, account, round_number=n + 1)
    assert ledger.state(account).exhausted


def test_epsilon_on_record_is_that_of_what_was_charged(ledger):
    account = account_of(ledger)
    for number in range(1, 8):
        charge = reserve(ledger, account, round_number=number)
    told = ledger.state(account, "job")

    assert told.spent == told.spent_by_job == charge.epsilon_of_job == epsilon(curve(ROUND) * 7, 1e-5)


def test_a_job_that_asks_for_more_is_told_how_many_rounds_there_are(ledger):
    account = account_of(ledger)
    most = ledger.affords(account, "job", plan(1000))

    with pytest.raises(BudgetError, match=f"the budget of ε = 3 affords {most} of the job's 1000 rounds") as refused:
        ledger.admit(account, "job", plan(1000))
    assert refused.value.affords == most
    assert entries(ledger)[-1].type == "Denied"
    assert not ledger.state(account).exhausted  # others may ask for less


def test_what_is_promised_to_one_job_is_not_promised_to_another(ledger):
    account = account_of(ledger)
    most = ledger.affords(account, "first", plan(1000))
    ledger.admit(account, "first", plan(most - 3))

    assert ledger.affords(account, "second", plan(1000)) in {2, 3}
    with pytest.raises(BudgetError):
        ledger.admit(account, "second", plan(10))
    ledger.give_back(account, "first")
    ledger.admit(account, "second", plan(10))


def test_a_job_that_is_admitted_again_is_promised_no_more(ledger):
    account = account_of(ledger)
    most = ledger.affords(account, "job", plan(1000))
    ledger.admit(account, "job", plan(most))
    reserve(ledger, account)
    ledger.admit(account, "job", plan(most))

    assert ledger.affords(account, "job", plan(1000)) == most
    assert [each.type for each in entries(ledger)][-1] == "Renewed"


def test_what_was_spent_stays_spent_when_the_job_ends_and_comes_back(ledger):
    account = account_of(ledger)
    most = ledger.affords(account, "job", plan(1000))
    ledger.admit(account, "job", plan(most))
    for number in range(1, 4):
        reserve(ledger, account, round_number=number)
    ledger.give_back(account, "job")

    assert ledger.affords(account, "other", plan(1000)) == most - 3
    ledger.admit(account, "job", plan(most))  # its own three rounds are part of it


def test_a_job_that_named_an_epsilon_never_spends_more_however_large_the_budget(ledger):
    account = account_of(ledger, "8")
    promise = plan(5, epsilon=1.2)
    ledger.admit(account, "job", promise)
    refused = spend_all(ledger, account)

    assert "the job has spent the ε = 1.2 that it promised" in str(refused)
    assert refused.by_job
    assert ledger.state(account, "job").spent_by_job <= 1.2
    assert not ledger.state(account).exhausted


def test_what_a_job_promised_is_on_record_to_the_last_digit(ledger):
    ledger.admit(account_of(ledger), "job", plan(1, epsilon=1.2345674321))
    assert float(entries(ledger)[-1].epsilon) == 1.2345674321


def test_a_repeated_attempt_is_charged_and_leaves_room_for_what_others_were_promised(ledger):
    account = account_of(ledger)
    most = ledger.affords(account, "job", plan(1000))
    ledger.admit(account, "one", plan(3))
    ledger.admit(account, "other", plan(most - 3))
    for attempt in (1, 2, 3):
        assert reserve(ledger, account, job="one").attempt == attempt

    with pytest.raises(BudgetError):
        reserve(ledger, account, job="one")
    for number in range(1, most - 2):
        reserve(ledger, account, job="other", round_number=number)


def test_the_same_question_asked_twice_is_charged_once(ledger):
    account = account_of(ledger)
    once = ledger.reserve(account, "job", 1, ROUND, nonce="0" * 32)
    again = ledger.reserve(account, "job", 1, ROUND, nonce="0" * 32)

    assert (once.reservation, once.attempt, once.epsilon_of_job) == (
        again.reservation,
        again.attempt,
        again.epsilon_of_job,
    )


OTHERWISE = {
    "account": lambda it, other: it.reserve(other, "job", 1, ROUND, nonce="0" * 32),
    "job": lambda it, other: it.reserve(it.find("heart"), "another", 1, ROUND, nonce="0" * 32),
    "round": lambda it, other: it.reserve(it.find("heart"), "job", 2, ROUND, nonce="0" * 32),
    "purpose": lambda it, other: it.reserve(it.find("heart"), "job", 1, ROUND, nonce="0" * 32, purpose="Evaluation"),
    "mechanism": lambda it, other: it.reserve(it.find("heart"), "job", 1, ROUND.times(2), nonce="0" * 32),
}


@pytest.mark.parametrize("ask", OTHERWISE.values(), ids=OTHERWISE)
def test_another_question_with_the_same_nonce_is_not_taken_for_paid(ledger, ask):
    charge = ledger.reserve(account_of(ledger), "job", 1, ROUND, nonce="0" * 32)
    other = account_of(ledger, dataset="lungs")

    with pytest.raises(LedgerError, match=f"reservation {charge.reservation} has that nonce"):
        ask(ledger, other)


def test_a_question_is_the_same_after_its_account_was_joined_with_another(ledger):
    account_of(ledger, dataset="older")
    account = account_of(ledger)
    charge = ledger.reserve(account, "job", 1, ROUND, nonce="0" * 32)
    ledger.register("heart", content("older"), "Record")
    assert ledger.reserve(account, "job", 1, ROUND, nonce="0" * 32).reservation == charge.reservation


def test_one_charge_pays_for_one_output(ledger):
    charge = reserve(ledger, account_of(ledger))
    head = ledger.commit(charge.reservation, "sha256:" + "1" * 64)

    assert ledger.commit(charge.reservation, "sha256:" + "1" * 64) == head
    with pytest.raises(LedgerError, match="another output was released under reservation"):
        ledger.commit(charge.reservation, "sha256:" + "2" * 64)
    with pytest.raises(LedgerError, match="has no reservation 99"):
        ledger.commit(99, "sha256:" + "2" * 64)


def test_a_lease_that_nobody_renews_holds_nothing(ledger):
    account = account_of(ledger)
    most = ledger.affords(account, "job", plan(1000))
    ledger.admit(account, "dead", plan(most), lease=timedelta(seconds=-2))

    assert ledger.affords(account, "alive", plan(1000)) == most
    assert entries(ledger)[-1].reason == "Expired"


def test_data_without_a_budget_is_accounted_for_all_the_same(ledger):
    account = ledger.register("heart", content(), "Record")
    ledger.admit(account, "job", plan(1000))
    reserve(ledger, account)

    assert (ledger.state(account).epsilon, ledger.state(account).available) == (None, None)
    assert ledger.state(account).spent == epsilon(curve(ROUND), 1e-5)


def test_a_new_name_a_copy_and_a_recreated_data_set_are_the_same_data(ledger):
    account = account_of(ledger)
    reserve(ledger, account)

    assert ledger.register("heart", content("heart"), "Record") == account
    assert ledger.register("renamed", content("heart"), "Record") == account
    assert ledger.register("heart", content("other content"), "Record") == account
    assert ledger.register("lungs", content("lungs"), "Record") != account


def test_data_that_grew_keeps_its_account(ledger):
    pieces = tuple(sorted(f"{number * 2654435761 % 2**64:016x}" for number in range(200)))
    grown = tuple(sorted([*pieces, *(f"{number * 40503 % 2**64:016x}" for number in range(1000, 1600))]))
    account = ledger.register("before", Content(content("1").fingerprint, pieces), "Record")

    assert ledger.register("after", Content(content("2").fingerprint, grown), "Record") == account


def test_data_that_holds_the_data_of_two_accounts_joins_them(ledger):
    one, other = account_of(ledger, "3", "one"), account_of(ledger, "2", "other")
    reserve(ledger, one)
    reserve(ledger, other, job="another")
    assert ledger.register("one", content("other"), "Record") == one

    told = ledger.state(other)
    assert (told.account, told.epsilon, told.datasets) == (one, 2, ("one", "other"))
    assert told.spent == epsilon(curve(ROUND) * 2, 1e-5)


def test_an_account_hides_one_unit_only(ledger):
    ledger.register("heart", content(), "Record")

    with pytest.raises(LedgerError, match="for each Record, not for each Patient"):
        ledger.register("heart", content(), "Patient")


def test_a_charge_renews_the_promise_that_it_is_made_from():
    accounts, name = Accounts(), "0" * 16
    charge = Reserved(
        number=3, at="2026-03-02T09:00:00Z", account=name, job="job", round=1, purpose="Training", attempt=1,
        mechanism=ROUND, nonce="0" * 32,
    )  # fmt: skip
    for entry in (
        AccountOpened(account=name, unit="Record"),
        Promised(at="2026-03-01T10:00:00Z", account=name, job="job", releases=[ROUND.times(5)], delta="1e-5",
                 until="2026-03-02T10:00:00Z"),
        charge,
    ):  # fmt: skip
        accounts.take_in(entry)
    assert accounts.of(name).job("job").until == "2026-03-03T09:00:00Z"

    accounts.take_in(Returned(account=name, job="job", reason="Finished"))
    accounts.take_in(charge.model_copy(update={"number": 4, "nonce": "1" * 32}))
    assert accounts.of(name).job("job").until == ""


def test_a_job_that_goes_on_charging_keeps_its_promise_for_days(ledger, monkeypatch):
    clock = [datetime(2026, 3, 1, tzinfo=UTC)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return clock[0]

    for module in ("consilia.ledger.ledger.datetime", "consilia.ledger.journal.datetime"):
        monkeypatch.setattr(module, Clock)
    account = account_of(ledger)
    ledger.admit(account, "job", plan(5))
    for number in range(1, 5):
        clock[0] += timedelta(hours=20)
        reserve(ledger, account, round_number=number)
    assert ledger.state(account, "job").reserved_for_job > 0
    clock[0] += timedelta(hours=25)
    assert ledger.state(account, "job").reserved_for_job == 0


@pytest.mark.parametrize("unit", ["Record", "Patient"])
def test_accounts_of_different_units_are_never_joined(ledger, unit):
    account_of(ledger, dataset="one")
    ledger.register("other", content("other"), "Patient")
    before = entries(ledger)

    with pytest.raises(LedgerError, match="the data of one has an account for each"):
        ledger.register("one", content("other"), unit)
    assert entries(ledger) == before


def test_two_processes_see_each_others_entries(ledger, tmp_path):
    other = open_ledger(tmp_path / "ledger")
    account = account_of(ledger)
    reserve(other, account)
    reserve(ledger, account, round_number=2)

    assert other.state(account) == ledger.state(account)
    assert other.head() == ledger.head()


@pytest.mark.slow
def test_two_jobs_and_three_threads_race_for_one_budget_a_thousand_times_and_never_overdraw(tmp_path, monkeypatch):
    monkeypatch.setattr(
        os, "fsync", lambda _descriptor: None
    )  # nothing is killed here: the kernel keeps what is written
    ledgers = [open_ledger(tmp_path / "ledger") for _ in range(3)]
    small = Mechanism(kind="Gaussian", noise_multiplier="60")
    won = []

    def race(ledger, account, job):
        while True:
            try:
                won.append((account, reserve(ledger, account, job=job, mechanism=small).reservation))
            except BudgetError:
                return

    for number in range(15):
        account = account_of(ledgers[0], "0.6", dataset=f"data {number}")
        affordable = ledgers[0].affords(account, "a", plan(1000, small))
        ledgers[0].admit(account, "a", plan(affordable // 3, small))
        threads = [Thread(target=race, args=(ledger, account, job)) for ledger, job in zip(ledgers, "aab", strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len([each for each in won if each[0] == account]) == affordable
        assert ledgers[0].state(account).spent <= 0.6
    assert len({reservation for _, reservation in won}) == len(won) >= 1000


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "reserve", "return", "raise", "lower", "rename"]),
        st.integers(0, 2),
        st.integers(1, 6),
    ),
    max_size=25,
)


@given(OPERATIONS)
@settings(deadline=None, max_examples=25)
def test_whatever_is_asked_in_whatever_order_the_budget_holds(tmp_path_factory, operations):
    ledger = open_ledger(tmp_path_factory.mktemp("ledger") / "ledger")
    account, limit = account_of(ledger, "2"), 2.0
    for what, job, number in operations:
        try:
            match what:
                case "admit":
                    ledger.admit(account, f"job-{job}", plan(number))
                case "reserve":
                    reserve(ledger, account, job=f"job-{job}", round_number=number)
                    assert ledger.state(account).spent <= limit  # the one that is in force now
                case "return":
                    ledger.give_back(account, f"job-{job}")
                case "raise":
                    ledger.set_budget(account, budget("9"))
                case "lower":
                    ledger.set_budget(account, budget(str(2 - number / 10)))
                    limit = min(limit, 2 - number / 10)
                case "rename":
                    assert ledger.register(f"name-{job}", content("heart"), "Record") == account
        except BudgetError:
            pass
        told = ledger.state(account)
        assert told.epsilon == limit
    assert open_ledger(ledger.folder).state(account) == ledger.state(account)
