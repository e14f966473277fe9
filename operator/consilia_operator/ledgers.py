"""The hospitals' ledgers: the operator has them run, and asks them with the key of the hospital.

The operator keeps no books of its own. What needs an accountant is asked of the ledger.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import TypeVar

from consilia.errors import LedgerUnavailableError
from consilia.ledger.interface import PrivacyLedger, Statement
from consilia.ledger.remote import RemoteLedger
from consilia.wire.identity import Identity
from consilia_operator.api_server import ApiServer
from consilia_operator.applying import Applying
from consilia_operator.identities import identity, private_key
from consilia_operator.kinds import DEPLOYMENT
from consilia_operator.manifests import ledger
from consilia_operator.names import COMPONENT, LEDGER, RESTING
from consilia_operator.settings import OperatorSettings
from consilia_operator.store import Key

T = TypeVar("T")
_PATIENCE, _LONG, _LEFT_ALONE = 10.0, 1.0, 30.0
"""So long may an answer take, in seconds; an outage that took long is a ledger that hangs; so long it is left alone."""
_DOUBTED_AGAIN = 60.0
"""An outage may last: what runs a ledger is not applied anew at every question, but once in so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a ledger keeps for one HospitalTask, as it said last."""

    uid: str
    """The HospitalTask's."""
    dataset: str
    size: int
    """The Dataset's publicSize when it was promised: what the job will need follows from it."""
    job: str
    """Its name in the ledger."""
    renewed: float
    """When it was promised, or last promised again, by this process's clock."""
    looked: float
    """When the ledger was asked last, by the same clock."""
    statement: Statement


@dataclass(slots=True, kw_only=True)
class Ledgers:
    """One for each namespace that has a Dataset with a budget."""

    api: ApiServer
    applying: Applying
    settings: OperatorSettings
    operator_namespace: str
    address: Callable[[str], str] = ledger.url_of
    """Where the ledger of a namespace answers."""
    promises: dict[Key, Promise] = field(default_factory=dict)
    """By HospitalTask. What an earlier process knew is found out again; what nobody knows is free after a day."""
    _claimed: set[str] = field(default_factory=set)
    _hanging: dict[str, float] = field(default_factory=dict)
    """Until when a ledger that did not answer is not asked again."""
    _doubted: dict[str, float] = field(default_factory=dict)
    """When what runs a ledger was last taken for gone."""

    async def provide(self, namespace: str) -> None:
        """See that the hospital has its ledger.

        Raises:
            ApiRefused: the API server does not let us make it.
            IdentityError: the key that an older one is signed with is gone.
            LedgerUnavailableError: somebody has it rest.
        """
        await identity(self.api, namespace)
        if namespace not in self._claimed:
            await self.api.create_once(ledger.claim(namespace, self.settings))
            self._claimed.add(namespace)
        resting = self._resting(namespace)
        for document in ledger.documents(namespace, self.settings, self.operator_namespace, resting=resting):
            await self.applying.apply(document)
        if resting:
            message = f"the ledger of {namespace} rests, as its Deployment's annotation {RESTING} says."
            raise LedgerUnavailableError(message, remedy="Remove that when the ledger is restored.")

    def _resting(self, namespace: str) -> bool:
        """Whether somebody restores it, and wants its volume for that."""
        found = self.applying.store.get(Key(DEPLOYMENT, namespace, LEDGER))
        return found is not None and RESTING in found["metadata"].get("annotations", {})

    async def ask(self, namespace: str, questions: Callable[[PrivacyLedger], T]) -> T:
        """What comes of `questions`, put to the ledger in a thread. The key is in memory for as long as that takes.

        Raises:
            BudgetError, LedgerError, LedgerUnavailableError, ManifestError: the ledger said so.
            IdentityError: the hospital's key cannot be read.
        """
        asker = Identity(namespace, private_key(await identity(self.api, namespace)))
        self._see_whether_it_hangs(namespace)
        began, hung = monotonic(), False
        try:
            return await asyncio.to_thread(questions, RemoteLedger(self.address(namespace), asker, _PATIENCE))
        except LedgerUnavailableError:
            hung = monotonic() - began >= _LONG
            self._doubt(namespace)
            raise
        finally:
            self._hanging.pop(namespace, None)
            if hung:
                self._hanging[namespace] = monotonic() + _LEFT_ALONE

    def _see_whether_it_hangs(self, namespace: str) -> None:
        """One that hangs keeps a worker waiting for each question: it is asked now and then, and by one worker."""
        until = self._hanging.get(namespace)
        if until is None:
            return
        if (left := until - monotonic()) > 0:
            message = f"the ledger of {namespace} did not answer in time."
            raise LedgerUnavailableError(message, remedy=f"It is asked again in {left:.0f} seconds.")
        self._hanging[namespace] = monotonic() + 2 * _PATIENCE

    def _doubt(self, namespace: str) -> None:
        """Have all of it made again: the namespace may be another of the same name, and the claim went with the old."""
        if monotonic() - self._doubted.get(namespace, -inf) < _DOUBTED_AGAIN:
            return
        self._doubted[namespace] = monotonic()
        self._claimed.discard(namespace)
        self.applying.forget_labelled(namespace, {COMPONENT: ledger.COMPONENT_NAME})
