"""What a ledger's entries add up to: accounts, their budgets, what was spent and what is promised. Pure."""

from collections import ChainMap, Counter
from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import reduce

from consilia.api.privacy import Unit
from consilia.errors import LedgerError
from consilia.ledger.chain import REMEDY
from consilia.ledger.entries import (
    AccountOpened,
    AccountsJoined,
    AnyEntry,
    Begun,
    BudgetSet,
    Committed,
    DatasetSeen,
    Denied,
    GapAccepted,
    KeyReplaced,
    Promised,
    Renewed,
    Reserved,
    Returned,
)
from consilia.ledger.journal import instant, moment
from consilia.privacy.accounting import Curve, curve, nothing
from consilia.privacy.filter import PrivacyFilter
from consilia.privacy.mechanisms import Mechanism

UNSAID_DELTA = 1e-5
"""The δ at which ε is told where neither a budget nor a job names one."""
Approval = tuple[float, str, str, int | None]
"""What tells one approval from another: its ε, by whom, why, and which accepted loss it knows of."""


@dataclass(slots=True)
class JobAccount:
    """One job's part."""

    promised: Counter[Mechanism] = field(default_factory=Counter)
    """How often each release, by its single step, was promised, in steps."""
    spent: Counter[Mechanism] = field(default_factory=Counter)
    """How often each was charged, in steps."""
    until: str = ""
    """The end of its lease; empty where nothing is promised."""
    lease: timedelta = timedelta()
    """How long the promise lasts from when the job was heard of last: it was asked for, renewed, or charged from."""
    epsilon: float | None = None
    """What it promised to spend at most, if it named an ε."""
    delta: float = UNSAID_DELTA
    rounds: set[int] = field(default_factory=set)
    """The rounds that something was charged for."""

    def copied(self) -> "JobAccount":
        """Another one that says the same."""
        return replace(self, promised=self.promised.copy(), spent=self.spent.copy(), rounds=set(self.rounds))

    def left(self) -> Counter[Mechanism]:
        """What of the promise is not spent."""
        return self.promised - self.spent

    def covers(self, mechanism: Mechanism) -> bool:
        """Whether this release is part of what is left of the promise."""
        return self.left()[mechanism.once] >= mechanism.steps


@dataclass(slots=True)
class Account:
    """One data set's, whatever it is called."""

    name: str
    unit: Unit
    datasets: dict[str, str] = field(default_factory=dict)
    """The names that it was seen under, each with its newest fingerprint."""
    fingerprints: set[str] = field(default_factory=set)
    pieces: set[str] = field(default_factory=set)
    budget: PrivacyFilter | None = None
    epsilon_per_job: float | None = None
    set_as: BudgetSet | None = None
    """How the budget was set last."""
    approvals: set[Approval] = field(default_factory=set)
    """Those that were used: none of them raises the budget a second time, after it was lowered."""
    spent: Curve = field(default_factory=nothing)
    jobs: dict[str, JobAccount] = field(default_factory=dict)
    exhausted: bool = False
    """Whether its budget did not afford a release, or a gap was accepted, and no larger one was set since."""
    gap: int = 0
    """The number of the entry that accepts a loss of entries, if nothing is afforded for it: until a budget is approved
    in its knowledge. 0: there is none."""

    def job(self, name: str) -> JobAccount:
        """One job's part; an empty one if it has none yet."""
        return self.jobs.get(name) or JobAccount()

    @property
    def delta(self) -> float:
        """At which its ε is told."""
        return self.budget.delta if self.budget else UNSAID_DELTA

    def copied(self, job: str) -> "Account":
        """Another one that says the same; of its jobs only this one may be changed."""
        jobs = {**self.jobs, job: self.jobs[job].copied()} if job in self.jobs else dict(self.jobs)
        return replace(
            self,
            datasets=dict(self.datasets),
            fingerprints=set(self.fingerprints),
            pieces=set(self.pieces),
            jobs=jobs,
            approvals=set(self.approvals),
        )

    def kept(self, *, but: str = "") -> Curve:
        """What is promised to jobs and not spent, leaving out one of them."""
        left: Counter[Mechanism] = Counter()
        for name, job in self.jobs.items():
            if name != but and job.until:
                left.update(job.left())
        return cost(left)


def cost(releases: Counter[Mechanism]) -> Curve:
    """What single steps, counted, cost together."""
    return reduce(lambda total, each: total + curve(each[0]) * each[1], releases.items(), nothing())


@dataclass(slots=True)
class Accounts:
    """All accounts of a ledger."""

    hospital: str = ""
    by_name: dict[str, Account] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    """Closed accounts, and the ones that they were joined to."""
    reserved: MutableMapping[int, Reserved] = field(default_factory=dict)
    """By the number of the entry."""
    committed: MutableMapping[int, str] = field(default_factory=dict)
    """By the number of the reservation: the digest of what was released."""
    nonces: MutableMapping[str, Reserved] = field(default_factory=dict)
    gaps: list[GapAccepted] = field(default_factory=list)
    """The losses that somebody accepted."""
    attempts: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """How often each job's release in each round was charged, by its purpose."""

    def of(self, name: str) -> Account:
        """The account of that name, or the one that it was joined to.

        Raises:
            LedgerError: there is none.
        """
        while name in self.moved:
            name = self.moved[name]
        if name not in self.by_name:
            raise LedgerError(f"the ledger has no account {name}.", remedy=REMEDY)
        return self.by_name[name]

    def called(self, dataset: str) -> Account | None:
        """The account that a data set of this name belongs to."""
        return next((account for account in self.by_name.values() if dataset in account.datasets), None)

    def promises(self) -> list[tuple[Account, str, JobAccount]]:
        """Every job that something is kept for."""
        return [
            (account, name, job) for account in self.by_name.values() for name, job in account.jobs.items() if job.until
        ]

    def take_in(self, entry: AnyEntry) -> None:
        """One more entry.

        Raises:
            LedgerError: it contradicts those before it, or cannot be counted with; it is named.
        """
        try:
            self._take_in(entry)
        except LedgerError as error:
            raise _senseless(entry, error.message) from error
        except (ArithmeticError, LookupError, ValueError) as error:
            raise _senseless(entry, f"{type(error).__name__}: {error}.") from error

    def rehearse(self, entry: AnyEntry) -> None:
        """See that an entry could be taken in, and leave everything as it is: what is written is there for good.

        Raises:
            LedgerError: it could not.
        """
        accounts = {name: account.copied(getattr(entry, "job", "")) for name, account in self.by_name.items()}
        Accounts(
            by_name=accounts,
            moved=dict(self.moved),
            reserved=ChainMap({}, self.reserved),  # those grow for ever, and are looked into only
            committed=ChainMap({}, self.committed),
            gaps=list(self.gaps),
        ).take_in(entry)

    def _take_in(self, entry: AnyEntry) -> None:
        match entry:
            case Begun():
                self.hospital = entry.hospital
            case AccountOpened():
                gap = self.gaps[-1].number if self.gaps else 0  # what was lost may have been about this data
                self.by_name[entry.account] = Account(entry.account, entry.unit, gap=gap, exhausted=gap > 0)
            case AccountsJoined():
                self._join(entry)
            case Reserved():
                self._reserve(entry)
            case Committed():
                self._commit(entry)
            case GapAccepted():
                self.gaps.append(entry)
                for account in self.by_name.values():
                    account.gap, account.exhausted = entry.number, True
            case KeyReplaced():
                pass
            case about_one:
                _take_in(self.of(about_one.account), about_one)

    def _join(self, entry: AccountsJoined) -> None:
        goes_on, closed = self.of(entry.account), self.of(entry.joined)
        if goes_on is closed:
            raise LedgerError(f"entry {entry.number} of the ledger joins an account with itself.", remedy=REMEDY)
        del self.by_name[closed.name]
        self.moved[entry.joined] = goes_on.name
        goes_on.datasets = closed.datasets | goes_on.datasets
        goes_on.fingerprints |= closed.fingerprints
        goes_on.pieces |= closed.pieces
        goes_on.spent = goes_on.spent + closed.spent
        goes_on.budget, goes_on.epsilon_per_job = _stricter(goes_on, closed)
        goes_on.gap, goes_on.exhausted = max(goes_on.gap, closed.gap), goes_on.exhausted or closed.exhausted
        goes_on.approvals |= closed.approvals
        goes_on.jobs = _both(goes_on.jobs, closed.jobs)

    def _reserve(self, entry: Reserved) -> None:
        account = self.of(entry.account)
        account.spent = account.spent + curve(entry.mechanism)
        job = account.jobs.setdefault(entry.job, JobAccount())
        job.spent[entry.mechanism.once] += entry.mechanism.steps
        job.rounds.add(entry.round)
        if job.until:
            job.until = max(job.until, moment(instant(entry.at) + job.lease))
        self.reserved[entry.number] = self.nonces[entry.nonce] = entry
        self.attempts[entry.job, entry.round, entry.purpose] += 1

    def _commit(self, entry: Committed) -> None:
        if entry.reservation not in self.reserved or entry.reservation in self.committed:
            message = f"entry {entry.number} of the ledger commits reservation {entry.reservation}, which is not open."
            raise LedgerError(message, remedy=REMEDY)
        self.committed[entry.reservation] = entry.output


def _senseless(entry: AnyEntry, why: str) -> LedgerError:
    return LedgerError(f"entry {entry.number} of the ledger contradicts those before it: {why}", remedy=REMEDY)


def _take_in(account: Account, entry: DatasetSeen | BudgetSet | Promised | Renewed | Returned | Denied) -> None:
    match entry:
        case DatasetSeen():
            account.datasets[entry.dataset] = entry.fingerprint
            account.fingerprints.add(entry.fingerprint)
            account.pieces |= set(entry.pieces)
        case BudgetSet():
            _set_budget(account, entry)
        case Denied():
            account.exhausted = account.exhausted or (entry.asked == "Round" and not entry.by_job)
        case _:
            _keep(account.jobs.setdefault(entry.job, JobAccount()), entry)


def _set_budget(account: Account, entry: BudgetSet) -> None:
    epsilon, delta = float(entry.epsilon), float(entry.delta)
    larger = account.budget is None or epsilon > account.budget.epsilon or bool(entry.approved_by)
    first = PrivacyFilter.of(epsilon, delta)
    account.budget = first if account.budget is None else account.budget.with_budget(epsilon, delta)
    account.epsilon_per_job = float(entry.epsilon_per_job) if entry.epsilon_per_job else None
    account.set_as = entry
    if entry.approved_by:
        account.approvals.add((epsilon, entry.approved_by, entry.reason, entry.after_gap))
    if account.gap and entry.approved_by and entry.after_gap == account.gap:
        account.gap = 0
    if larger:
        account.exhausted = account.gap > 0


def _keep(job: JobAccount, entry: Promised | Renewed | Returned) -> None:
    match entry:
        case Promised():
            job.promised = steps_of(entry.releases)
            job.until, job.lease = entry.until, instant(entry.until) - instant(entry.at)
            job.epsilon, job.delta = float(entry.epsilon) if entry.epsilon else None, float(entry.delta)
        case Renewed():
            job.until, job.lease = entry.until, instant(entry.until) - instant(entry.at)
        case Returned():
            job.until = ""


def steps_of(releases: list[Mechanism]) -> Counter[Mechanism]:
    """How often each single step is among them."""
    found: Counter[Mechanism] = Counter()
    for mechanism in releases:
        found[mechanism.once] += mechanism.steps
    return found


def _stricter(one: Account, other: Account) -> tuple[PrivacyFilter | None, float | None]:
    budgets = [each.budget for each in (one, other) if each.budget]
    caps = [each.epsilon_per_job for each in (one, other) if each.epsilon_per_job]
    if not budgets:
        return None, min(caps, default=None)
    epsilon, delta = min(each.epsilon for each in budgets), min(each.delta for each in budgets)
    return budgets[0].with_budget(epsilon, delta), min(caps, default=None)


def _both(one: dict[str, JobAccount], other: dict[str, JobAccount]) -> dict[str, JobAccount]:
    """A job with parts in both accounts has released from both."""
    return {**other, **{name: _one(job, other[name]) if name in other else job for name, job in one.items()}}


def _one(one: JobAccount, other: JobAccount) -> JobAccount:
    promised = [each for each in (one.epsilon, other.epsilon) if each]
    return JobAccount(
        promised=one.promised + other.promised,
        spent=one.spent + other.spent,
        until=max(one.until, other.until),
        lease=max(one.lease, other.lease),
        epsilon=min(promised, default=None),
        delta=min(one.delta, other.delta),
        rounds=one.rounds | other.rounds,
    )
