"""A ledger behind an address, as trainers and the operator see it: every question is a signed letter over HTTP/1.1.

One question, one connection. An answer that is lost on the way is asked for once more with the same letter: the ledger
says again what it said, or, if it was started again meanwhile, names its new session, and is asked in that one. What
charges a release also carries the caller's own nonce, under which it is charged once, however often it is asked.
"""

import base64
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from http.client import HTTPConnection, HTTPException, IncompleteRead
from threading import Timer
from time import time
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError

from consilia.api import HospitalTaskSpec
from consilia.api.privacy import Unit
from consilia.errors import LedgerError, LedgerRefusedError, LedgerUnavailableError
from consilia.ledger import requests
from consilia.ledger.chain import Head
from consilia.ledger.content import Content
from consilia.ledger.interface import LEASE, Budget, Charge, PrivacyLedger, Purpose, Statement
from consilia.privacy.mechanisms import Mechanism
from consilia.privacy.plan import JobPlan
from consilia.wire.identity import Identity, digest

_CONNECT, _ANSWER = 5.0, 30.0
"""So long may the ledger take to be there, and then to answer, in seconds."""
_SESSIONS = 3
"""A ledger that is another process whenever it is asked is not asked for ever."""
_LOST = (OSError, HTTPException)
A = TypeVar("A")


class RemoteLedger(PrivacyLedger):
    """The ledger that answers at an address. Safe to use from several threads, and after a fork.

    All methods raise, beside what `Ledger`'s do:
        LedgerUnavailableError: it does not answer now.
        LedgerRefusedError: what answers there is not this hospital's ledger, or does not take the question.
    """

    def __init__(self, url: str, identity: Identity, patience: float | None = None) -> None:
        """`url` is http://host:port; `identity` is the hospital's. Nothing is asked yet.

        An answer may take `patience` seconds, by default 30, and as long again where the first got lost.

        Raises:
            LedgerError: it is no such address.
        """
        self.url, (self._host, self._port) = url, _place(url)
        self._identity, self._session, self._patience = identity, "", patience

    def content_key(self) -> bytes:
        """What digests of data are keyed with: 32 secret bytes of this ledger's own."""
        ours = X25519PrivateKey.generate()
        public = base64.b64encode(ours.public_key().public_bytes_raw()).decode()
        told = self._ask(requests.ContentKeyAsked(public_key=public), requests.ContentKeyTold)
        try:
            return requests.unseal(told, ours)
        except ValueError as error:
            raise self._not_ours(f"its content key cannot be read: {error}") from error

    def head(self) -> Head:
        """Where it ends now."""
        return self._ask(requests.HeadAsked(), requests.HeadTold).head

    def compare(self, seen: Sequence[Head]) -> None:
        """See that nothing is missing that others have seen."""
        for start in range(0, max(len(seen), 1), requests.HEADS_AT_MOST):
            part = tuple(seen[start : start + requests.HEADS_AT_MOST])
            self._ask(self._made(requests.Compare, seen=part), requests.Done)

    def register(self, dataset: str, content: Content, unit: Unit) -> str:
        """The account of a data set, by what is in it and by what it is called; a new one if neither was ever seen."""
        asked = self._made(
            requests.Register, dataset=dataset, fingerprint=content.fingerprint, pieces=content.pieces, unit=unit
        )
        if (account := self._ask(asked, requests.AccountNamed).account) is None:
            raise self._not_ours("it names no account")
        return account

    def find(self, dataset: str) -> str | None:
        """The account that a data set of this name belongs to, if it was ever seen."""
        return self._ask(self._made(requests.Find, dataset=dataset), requests.AccountNamed).account

    def set_budget(self, account: str, budget: Budget) -> None:
        """Set, lower, or with an approval raise what all jobs together may spend."""
        self._ask(self._made(requests.SetBudget, account=account, **asdict(budget)), requests.Done)

    def plan(self, spec: HospitalTaskSpec, units: int) -> JobPlan:
        """What an offered job will ask of a hospital with so many records or patients."""
        # How the pod is run is no part of a plan, and may be long.
        asked = self._made(requests.PlanAsked, spec=spec.model_copy(update={"pod_template": None}), units=units)
        return self._ask(asked, requests.Planned).plan

    def admit(self, account: str, job: str, plan: JobPlan, lease: timedelta = LEASE) -> None:
        """Keep what the job will need, or go on keeping it."""
        seconds = lease.total_seconds()
        asked = self._made(requests.Admit, account=account, job=job, plan=plan, lease_seconds=seconds)
        self._ask(asked, requests.Done)

    def affords(self, account: str, job: str, plan: JobPlan) -> int:
        """How many of the job's rounds the budget pays for now, those that it was charged for included."""
        asked = self._made(requests.Affords, account=account, job=job, plan=plan)
        return self._ask(asked, requests.RoundsAfforded).rounds

    def reserve(
        self,
        account: str,
        job: str,
        round_number: int,
        mechanism: Mechanism,
        *,
        nonce: str,
        purpose: Purpose = "Training",
    ) -> Charge:
        """Charge one release, before what it needs is computed.

        Whoever gets a `LedgerUnavailableError` may have been charged: ask again with the same nonce.
        """
        asked = self._made(
            requests.Reserve,
            account=account,
            job=job,
            round=round_number,
            mechanism=mechanism,
            charge_nonce=nonce,
            purpose=purpose,
        )
        return self._ask(asked, requests.Charged).charge

    def commit(self, reservation: int, output: str) -> Head:
        """Put down what was released under a charge; the same once more changes nothing."""
        return self._ask(self._made(requests.Commit, reservation=reservation, output=output), requests.HeadTold).head

    def give_back(self, account: str, job: str, reason: Literal["Finished", "Withdrawn"] = "Finished") -> None:
        """The job needs no more: what was kept for it is free again."""
        self._ask(self._made(requests.GiveBack, account=account, job=job, reason=reason), requests.Done)

    def state(self, account: str, job: str = "") -> Statement:
        """Where an account stands, and a job in it."""
        told = self._ask(self._made(requests.State, account=account, job=job), requests.StatesTold).statements
        if len(told) != 1:
            raise self._not_ours(f"it tells of {len(told)} accounts and was asked about one")
        return told[0]

    def statements(self) -> list[Statement]:
        """Where all accounts stand, the oldest first."""
        return list(self._ask(requests.AllStates(), requests.StatesTold).statements)

    def _made(self, kind: type[A], **fields: object) -> A:
        """A question, if it is one that any ledger would take."""
        try:
            return kind(**fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            message = f"the ledger at {self.url} cannot be asked that: {place}: {first['msg']}."
            raise LedgerRefusedError(message, remedy="Correct what is asked.") from error

    def _ask(self, question: requests.Question, kind: type[A]) -> A:
        """The answer, of the kind that belongs to the question."""
        for _ in range(_SESSIONS):
            match self._answer(question):
                case requests.NewSession(session=session):
                    self._session = session
                case requests.Refused() as refused:
                    raise refused.error()
                case answer if isinstance(answer, kind):
                    return answer
                case answer:
                    raise self._not_ours(f"it answers {question.type} with {answer.type}")
        raise self._unavailable("it is another process each time that it is asked")

    def _answer(self, question: requests.Question) -> requests.Answer:
        """What is answered to one letter."""
        asked = requests.Asked(
            hospital=self._identity.name,
            asked=time(),
            nonce=secrets.token_hex(16),
            session=self._session,
            question=question,
        )
        try:
            body, letter = requests.letter(asked, self._identity)
        except ValueError as error:
            message = f"the ledger at {self.url} cannot be asked: {error}."
            raise LedgerRefusedError(message, remedy="Ask for less at once.") from error
        return self._read(self._delivered(letter), body)

    def _read(self, reply: bytes, body: str) -> requests.Answer:
        try:
            found = requests.body_of(reply, self._identity.public(), requests.Answered)
            answered = requests.Answered.model_validate_json(found)
        except ValueError as error:
            raise self._not_ours(f"its answer cannot be trusted: {error}") from error
        if answered.to != digest(body.encode()):
            raise self._not_ours("its answer belongs to another question")
        return answered.answer

    def _delivered(self, letter: bytes) -> bytes:
        """The reply to a letter, which is sent twice where the reply to the first got lost."""
        try:
            return self._sent(letter)
        except _LOST:
            pass
        try:
            return self._sent(letter)
        except _LOST as error:
            raise self._unavailable(str(error) or type(error).__name__) from error

    def _sent(self, letter: bytes) -> bytes:
        connection = HTTPConnection(self._host, self._port, timeout=_CONNECT)
        with closing(connection):
            try:
                connection.connect()
            except OSError as error:
                raise self._unavailable(str(error)) from error
            with _hurried(connection.sock, self._patience or _ANSWER):
                headers = {"Content-Type": "application/json", "Connection": "close"}
                connection.request("POST", "/ask", letter, headers)
                response = connection.getresponse()
                reply = response.read(requests.LONGEST + 1)
                if response.length and len(reply) <= requests.LONGEST:  # read() does not mind
                    raise IncompleteRead(reply, response.length)
        return self._checked(response.status, reply)

    def _checked(self, status: int, reply: bytes) -> bytes:
        if status == 200:
            return reply
        words = reply[:200].decode("ascii", "replace").strip()
        if status >= 500:
            raise self._unavailable(f"it answers {status}: {words!r}")
        raise self._not_ours(f"it answers {status}: {words!r}")

    def _unavailable(self, reason: str) -> LedgerUnavailableError:
        message = f"the ledger at {self.url} cannot be reached: {reason}."
        return LedgerUnavailableError(
            message, remedy="Wait until its pod runs; if it does not come back, look at the pod's events and log."
        )

    def _not_ours(self, reason: str) -> LedgerRefusedError:
        message = f"what answers at {self.url} is not the ledger of {self._identity.name}: {reason}."
        remedy = "Correct the address, or give the ledger and this program the same key."
        return LedgerRefusedError(message, remedy=remedy)


@contextmanager
def _hurried(connection: socket.socket, patience: float) -> Iterator[None]:
    """All that is said and heard within has `patience` seconds together, however slowly it trickles."""

    def hang_up() -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    connection.settimeout(patience)
    watch = Timer(patience, hang_up)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _place(url: str) -> tuple[str, int]:
    remedy = "Write http://host:port."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise LedgerError(f"{url!r} names no ledger: {error}.", remedy=remedy) from error
    if parts.scheme != "http" or not host or parts.path not in {"", "/"} or "@" in parts.netloc or set(url) & set("?#"):
        raise LedgerError(f"{url!r} names no ledger.", remedy=remedy)
    return host, requests.LEDGER_PORT if port is None else port
