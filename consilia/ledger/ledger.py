"""A hospital's ledger in use: data sets are known again, jobs admitted, releases charged before they happen."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from consilia.api import HospitalTaskSpec
from consilia.api.privacy import Unit
from consilia.errors import BudgetError, LedgerError
from consilia.ledger.accounts import Account, Accounts, steps_of
from consilia.ledger.chain import REMEDY, Chain, Head
from consilia.ledger.content import Content, same_data
from consilia.ledger.decisions import affordable, budget_refusal, changes, fresh_approval, job_refusal, release_refusal
from consilia.ledger.entries import (
    AccountOpened,
    AccountsJoined,
    Begun,
    BudgetSet,
    Committed,
    DatasetSeen,
    Denied,
    GapAccepted,
    Promised,
    Renewed,
    Reserved,
    Returned,
)
from consilia.ledger.interface import LEASE, Budget, Charge, PrivacyLedger, Purpose, Statement
from consilia.ledger.journal import NAME, Journal, instant, moment, write_durably
from consilia.ledger.statements import statement
from consilia.privacy.mechanisms import Mechanism
from consilia.privacy.plan import JobPlan, make_plan
from consilia.wire.identity import Identity

CONTENT_KEY = "content.key"


class Ledger(PrivacyLedger):
    """The ledger in a folder. Safe to use from several threads and processes at once."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        """`identity` is the hospital's; the ledger is begun if there is none.

        Raises:
            LedgerError: the file was changed or emptied, or another key signs it.
        """
        self.folder, self._accounts = folder, Accounts()
        self._journal = Journal(folder, identity, self._accounts.take_in, self._accounts.rehearse)
        with self._journal.held() as chain:
            if chain.head.entries == 0:
                _refuse_emptied(folder)
                self._journal.append(Begun(hospital=identity.name, public_key=identity.public().text()))
            if chain.key is None or chain.key.text() != identity.public().text():
                message = f"the ledger in {folder} is signed by another key than that of {identity.name}."
                raise LedgerError(message, remedy="Give the hospital its own key back; see docs/guides/ledger.md.")
            # It comes after the first entry: a content key without any entry tells that the entries are gone.
            self._content_key = _content_key(folder / CONTENT_KEY, new=chain.head.entries == 1)

    @contextmanager
    def _held(self) -> Iterator[Chain]:
        """Up to date, nobody else writes, and what leases kept too long is free."""
        with self._journal.held() as chain:
            now = datetime.now(UTC)
            for account, name, job in self._accounts.promises():
                if instant(job.until) < now:
                    self._journal.append(Returned(account=account.name, job=name, reason="Expired"))
            yield chain

    def compare(self, seen: Sequence[Head]) -> None:
        """See that nothing is missing that others have seen.

        Raises:
            LedgerError: the ledger is older than that, or another one.
        """
        with self._journal.held() as chain:
            chain.require(seen)

    def content_key(self) -> bytes:
        """What digests of data are keyed with: 32 secret bytes of this ledger's own."""
        return self._content_key

    def head(self) -> Head:
        """Where it ends now."""
        with self._journal.held() as chain:
            return chain.head

    def register(self, dataset: str, content: Content, unit: Unit) -> str:
        """The account of a data set, by what is in it and by what it is called; a new one if neither was ever seen.

        Raises:
            LedgerError: the account, or one that would be joined with it, hides another unit.
        """
        with self._held():
            known = self._known(dataset, content)
            _require_unit(dataset, known, unit)
            account = known[0] if known else self._open(unit)
            for other in known[1:]:
                self._journal.append(AccountsJoined(account=account.name, joined=other.name))
            if account.datasets.get(dataset) != content.fingerprint:
                fresh = sorted(set(content.pieces) - account.pieces)
                seen = DatasetSeen(account=account.name, dataset=dataset, fingerprint=content.fingerprint, pieces=fresh)
                self._journal.append(seen)
            return account.name

    def find(self, dataset: str) -> str | None:
        """The account that a data set of this name belongs to, if it was ever seen."""
        with self._held():
            found = self._accounts.called(dataset)
            return found.name if found else None

    def _known(self, dataset: str, content: Content) -> list[Account]:
        """Every account that the data belongs to, the oldest first: that one goes on."""
        return [
            account
            for account in self._accounts.by_name.values()
            if dataset in account.datasets
            or content.fingerprint in account.fingerprints
            or same_data(content, account.pieces)
        ]

    def _open(self, unit: Unit) -> Account:
        name = secrets.token_hex(8)
        self._journal.append(AccountOpened(account=name, unit=unit))
        return self._accounts.of(name)

    def set_budget(self, account: str, budget: Budget) -> None:
        """Set, lower, or with an approval raise what all jobs together may spend.

        Raises:
            BudgetError: it is more than before, and nobody approved it, or the approval was used once already.
        """
        with self._held():
            known = self._accounts.of(account)
            if not changes(known, budget):
                return
            if refused := budget_refusal(known, budget):
                raise refused
            fresh = fresh_approval(known, budget)  # one that was used before has nothing to do with what is set now
            entry = BudgetSet(
                account=known.name,
                epsilon=budget.epsilon,
                delta=budget.delta,
                epsilon_per_job=budget.epsilon_per_job,
                approved_by=budget.approved_by if fresh else "",
                reason=budget.reason if fresh else "",
                after_gap=budget.after_gap if fresh else None,
            )
            self._journal.append(entry)

    def plan(self, spec: HospitalTaskSpec, units: int) -> JobPlan:
        """What an offered job will ask of a hospital with so many records or patients.

        Raises:
            ManifestError: no noise makes it cost as little as it promises.
        """
        return make_plan(spec, units)

    def admit(self, account: str, job: str, plan: JobPlan, lease: timedelta = LEASE) -> None:
        """Keep what the job will need, or go on keeping it.

        Raises:
            BudgetError: the budget does not afford all of the job's rounds; it says how many it does.
        """
        with self._held():
            known, until = self._accounts.of(account), moment(datetime.now(UTC) + lease)
            part, asked = known.job(job), plan.releases(plan.rounds)
            if part.until and part.promised == steps_of(asked):
                self._journal.append(Renewed(account=known.name, job=job, until=until))
                return
            if refused := job_refusal(known, job, plan):
                self._deny(known, job, refused, "Job")
            epsilon = repr(plan.epsilon) if plan.epsilon else None
            promised = Promised(account=known.name, job=job, releases=asked, epsilon=epsilon, delta=repr(plan.delta),
                                until=until)  # fmt: skip
            self._journal.append(promised)

    def affords(self, account: str, job: str, plan: JobPlan) -> int:
        """How many of the job's rounds the budget pays for now, those that it was charged for included."""
        with self._held():
            return affordable(self._accounts.of(account), job, plan)

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

        Raises:
            BudgetError: the budget, or what the job promised, does not afford it.
            LedgerError: something else was charged under that nonce.
        """
        with self._held() as chain:
            known = self._accounts.of(account)
            if (before := self._accounts.nonces.get(nonce)) is not None:
                asked = (known.name, job, round_number, purpose, mechanism)
                self._require_same(before, asked)
                return self._charge(before, chain.head)
            if refused := release_refusal(known, job, mechanism):
                self._deny(known, job, refused, "Round")
            attempt = self._accounts.attempts[job, round_number, purpose] + 1
            entry = Reserved(account=known.name, job=job, round=round_number, purpose=purpose, attempt=attempt,
                             mechanism=mechanism, nonce=nonce)  # fmt: skip
            self._journal.append(entry)
            return self._charge(self._accounts.nonces[nonce], chain.head)

    def _require_same(self, before: Reserved, asked: tuple[object, ...]) -> None:
        name = self._accounts.of(before.account).name
        if asked != (name, before.job, before.round, before.purpose, before.mechanism):
            message = f"reservation {before.number} has that nonce, and is for something else that was asked earlier."
            raise LedgerError(message, remedy="Ask for each release with a random nonce of its own.")

    def _charge(self, entry: Reserved, head: Head) -> Charge:
        told = statement(self._accounts.of(entry.account), entry.job)
        return Charge(reservation=entry.number, attempt=entry.attempt, epsilon_of_job=told.spent_by_job, head=head)

    def commit(self, reservation: int, output: str) -> Head:
        """Put down what was released under a charge; the same once more changes nothing.

        Raises:
            LedgerError: there is no such charge, or something else was released under it.
        """
        with self._held() as chain:
            found = self._accounts.reserved.get(reservation)
            if found is None:
                raise LedgerError(f"the ledger has no reservation {reservation}.", remedy=REMEDY)
            before = self._accounts.committed.get(reservation)
            if before not in {None, output}:
                message = f"another output was released under reservation {reservation}: {before}, not {output}."
                raise LedgerError(message, remedy="Charge a release of its own for it.")
            if before is None:
                entry = Committed(account=found.account, job=found.job, reservation=reservation, output=output)
                self._journal.append(entry)
            return chain.head

    def give_back(self, account: str, job: str, reason: Literal["Finished", "Withdrawn"] = "Finished") -> None:
        """The job needs no more: what was kept for it is free again."""
        with self._held():
            known = self._accounts.of(account)
            if known.job(job).until:
                self._journal.append(Returned(account=known.name, job=job, reason=reason))

    def state(self, account: str, job: str = "") -> Statement:
        """Where an account stands, and a job in it."""
        with self._held() as chain:
            return statement(self._accounts.of(account), job, chain.head)

    def statements(self) -> list[Statement]:
        """Where all accounts stand, the oldest first."""
        with self._held() as chain:
            return [statement(account, head=chain.head) for account in self._accounts.by_name.values()]

    def accept_gap(self, lost: Sequence[Head], by: str, reason: str) -> int:
        """Go on with a ledger that has lost entries: every budget counts as spent until a new one is approved.

        `lost` are the heads that others have seen and that are missing; any other one is an alarm as before. What is
        returned is the number of the last entry by which the loss is accepted: what an approval has to name.
        """
        assert lost, "nobody has seen anything that is lost"
        with self._held():
            for head in lost:
                entry = GapAccepted(entries=head.entries, head=head.digest, by=by, reason=reason)
                number = self._journal.append(entry).number
            return number

    def _deny(self, account: Account, job: str, refused: BudgetError, asked: Literal["Job", "Round"]) -> None:
        self._journal.append(
            Denied(account=account.name, job=job, asked=asked, by_job=refused.by_job, reason=refused.message[:1024])
        )
        raise refused


def _require_unit(dataset: str, known: Sequence[Account], unit: Unit) -> None:
    """Before anything is joined: what was spent for records cannot be added to what was spent for patients."""
    for account in known:
        if account.unit != unit:
            message = f"the data of {dataset} has an account for each {account.unit}, not for each {unit}."
            remedy = f"Give the Dataset unit: {account.unit}."
            if len({each.unit for each in known}) > 1:
                names = ", ".join(sorted({name for each in known for name in each.datasets}))
                remedy = f"Keep the data of {names} apart: their accounts count different units, and stay so."
            raise LedgerError(message, remedy=remedy)


def _refuse_emptied(folder: Path) -> None:
    if (folder / CONTENT_KEY).exists():
        message = f"the ledger in {folder} has a content key, and no entry: {NAME} was emptied or removed."
        remedy = (
            f"Restore a copy. If there is none, move {CONTENT_KEY} away as well: then a new ledger is begun, in which "
            "the gap can be accepted; see docs/guides/ledger.md."
        )
        raise LedgerError(message, remedy=remedy)


def _content_key(path: Path, *, new: bool) -> bytes:
    if not path.exists() and new:
        write_durably(path, secrets.token_bytes(32))
    try:
        found = path.read_bytes()
    except OSError as error:
        message = f"the ledger's content key {path} cannot be read: {error.strerror}."
        raise LedgerError(message, remedy="Restore it beside the ledger: without it no data is known again.") from error
    if len(found) != 32:
        raise LedgerError(f"the ledger's content key {path} is damaged.", remedy="Restore it beside the ledger.")
    return found
