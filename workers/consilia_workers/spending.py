"""What a trainer pays for: rounds and evaluations, charged to the hospital's ledger before they are computed."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Protocol, TypeVar

from consilia.errors import LedgerUnavailableError
from consilia.ledger.chain import Head
from consilia.ledger.interface import PrivacyLedger, Purpose
from consilia.privacy.mechanisms import rounded_up
from consilia.privacy.plan import JobPlan

logger = logging.getLogger("consilia.spending")

PATIENCE, _PAUSE = 60.0, 1.0
"""So long is a ledger asked again that does not answer, and so long is waited in between, in seconds."""
A = TypeVar("A")


class Spending(Protocol):
    """One job's purse at one hospital."""

    def reserve(self, round_number: int, purpose: Purpose) -> int | None:
        """Charge one release; the number to commit it under, or None where nothing is charged.

        Raises:
            BudgetError: the budget does not afford it.
            LedgerError: the ledger is damaged, was rolled back, or is another one.
            LedgerUnavailableError: it cannot be reached now.
        """

    def commit(self, reservation: int | None, output: str) -> None:
        """Put down the digest of what is about to be released; again and again without harm."""

    def epsilon(self) -> str | None:
        """What the job has spent here so far; None where nothing is charged."""

    def head(self) -> Head | None:
        """Where the ledger ended when it was asked last."""

    def witness(self, seen: Head) -> None:
        """Remember what others have seen of the ledger: nothing more is charged to one that has lost it."""

    def finish(self) -> None:
        """The job needs no more."""


class Free:
    """A job without differential privacy: nothing is charged, for nothing is bounded."""

    def reserve(self, round_number: int, purpose: Purpose) -> int | None:
        """Nothing."""
        return None

    def commit(self, reservation: int | None, output: str) -> None:
        """Nothing."""

    def epsilon(self) -> str | None:
        """None."""
        return None

    def head(self) -> Head | None:
        """None."""
        return None

    def witness(self, seen: Head) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


FREE = Free()


@dataclass(slots=True)
class Purse:
    """A job's account in a ledger."""

    ledger: PrivacyLedger
    account: str
    job: str
    plan: JobPlan
    _head: Head | None = None
    _witnessed: Head | None = None
    _spent: float = 0.0

    def open(self) -> None:
        """Have kept what the job will need, or go on having it kept.

        Raises:
            BudgetError: the budget does not afford it.
        """
        self.ledger.admit(self.account, self.job, self.plan)
        told = self.ledger.state(self.account, self.job)
        self._spent, self._head = told.spent_by_job, told.head

    def reserve(self, round_number: int, purpose: Purpose) -> int | None:
        """Charge one release, once: if the answer is lost, the question is asked again as the same one."""
        mechanism = self.plan.training if purpose == "Training" else self.plan.evaluation
        assert mechanism is not None, "only what is planned is charged"
        if self._witnessed:
            self.ledger.compare([self._witnessed])
        nonce = secrets.token_hex(16)
        charge = _insist(
            lambda: self.ledger.reserve(self.account, self.job, round_number, mechanism, nonce=nonce, purpose=purpose)
        )
        self._spent, self._head = charge.epsilon_of_job, charge.head
        return charge.reservation

    def commit(self, reservation: int | None, output: str) -> None:
        """Put down what is about to be released."""
        assert reservation is not None, "what is released was charged"
        number = reservation
        self._head = _insist(lambda: self.ledger.commit(number, output))

    def epsilon(self) -> str | None:
        """What the job has spent here so far, rounded up."""
        return rounded_up(self._spent) if self._spent else "0"

    def head(self) -> Head | None:
        """Where the ledger ended when it was asked last."""
        return self._head

    def witness(self, seen: Head) -> None:
        """Remember what others have seen of the ledger."""
        self._witnessed = seen

    def finish(self) -> None:
        """The job needs no more."""
        self.ledger.give_back(self.account, self.job)


def _insist(ask: Callable[[], A]) -> A:
    """The answer to what may be asked again and again without harm.

    Raises:
        LedgerUnavailableError: there was none in all that time.
    """
    until = monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except LedgerUnavailableError as error:
            if monotonic() >= until:
                raise
            logger.warning("%s It is asked again.", error)
            sleep(_PAUSE)
