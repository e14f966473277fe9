"""What a trainer says that it has spent."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgers import account_of, open_ledger, plan

from consilia.errors import LedgerError
from consilia.ledger.journal import NAME
from consilia.privacy.mechanisms import Mechanism
from consilia_workers.spending import Purse

SMALL = Mechanism(kind="Gaussian", noise_multiplier="60")


class Told:
    """A ledger that has charged so much."""

    def __init__(self, spent):
        self._spent = spent

    def admit(self, account, job, asked):
        pass

    def state(self, account, job):
        return self

    @property
    def spent_by_job(self):
        return self._spent

    head = None


@given(st.floats(1e-12, 1e6))
def test_nobody_is_told_less_than_was_spent(spent):
    purse = Purse(Told(spent), "0" * 16, "job", plan())
    purse.open()

    assert spent <= float(purse.epsilon()) <= spent * (1 + 1e-6)


def test_what_the_ledger_charged_is_told_rounded_up(tmp_path):
    ledger = open_ledger(tmp_path / "ledger")
    purse = Purse(ledger, account_of(ledger), "job", plan(5, SMALL))
    purse.open()
    assert purse.epsilon() == "0"

    purse.reserve(1, "Training")
    exact = ledger.state(purse.account, "job").spent_by_job
    assert exact <= float(purse.epsilon()) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("purpose", ["Training", "Evaluation"])
def test_nothing_is_charged_to_a_ledger_that_has_lost_what_others_have_seen(tmp_path, purpose):
    ledger = open_ledger(tmp_path / "ledger")
    asked = replace(plan(5, SMALL), evaluation=SMALL, evaluations=5)
    purse = Purse(ledger, account_of(ledger), "job", asked)
    purse.open()
    kept = (ledger.folder / NAME).read_bytes()
    purse.reserve(1, purpose)
    seen = purse.head()
    (ledger.folder / NAME).write_bytes(kept)

    again = Purse(open_ledger(ledger.folder), purse.account, "job", asked)
    again.open()
    again.witness(seen)
    with pytest.raises(LedgerError, match="rolled back or replaced"):
        again.reserve(2, purpose)
    assert again.ledger.state(purse.account, "job").spent_by_job == 0
