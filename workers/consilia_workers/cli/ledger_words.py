"""What the commands of `consilia ledger` say, to people and to programs. Pure but for printing.

What was spent is rounded up and what is left is rounded down, to three decimals: no figure promises too much.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from consilia.errors import BudgetError
from consilia.ledger.accounts import Account, cost, steps_of
from consilia.ledger.chain import Head
from consilia.ledger.decisions import affordable, job_refusal
from consilia.ledger.interface import Statement
from consilia.ledger.reading import Reading, head_text
from consilia.ledger.statements import statement
from consilia.privacy.accounting import composed, epsilon, tightest_epsilon
from consilia.privacy.filter import PrivacyFilter
from consilia.privacy.plan import JobPlan, noise_over_clipping_norm
from consilia_workers.report.wording import counted, printable

ABSENT = "-"
_NOT_PART = "was seen by others, and is not part of it"
_ASCII = str.maketrans({"ε": "epsilon", "δ": "delta", "\N{REPLACEMENT CHARACTER}": "?"})
_THREE_DECIMALS = Decimal("0.001")
_TIGHTEST_UP_TO = 50
"""The tighter figure is looked for up to this ε: beyond, it takes minutes, and no figure means protection."""

State = Literal["Ready", "Exhausted", "Gap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job's part in one account."""

    job: str
    rounds: int
    """For so many something was charged."""
    attempts: int
    """How often something was charged: more than rounds where one was repeated, or evaluations are released."""
    until: str
    """The end of its lease; empty where nothing is promised."""
    spent: float
    reserved: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """One data set's account."""

    told: Statement
    approved_by: str
    jobs: Sequence[JobRow]

    @property
    def state(self) -> State:
        """The worst that is known of it."""
        return "Gap" if self.told.gap else "Exhausted" if self.told.exhausted else "Ready"


def account_rows(reading: Reading, dataset: str | None = None) -> list[AccountRow]:
    """All accounts with their jobs, or that of one data set.

    Raises:
        LedgerError: the ledger has no such data set.
    """
    accounts = list(reading.accounts.by_name.values()) if dataset is None else [reading.account(dataset)]
    charges = Counter((reading.accounts.of(each.account).name, each.job) for each in reading.accounts.reserved.values())
    return [
        AccountRow(
            told=statement(account),
            approved_by=account.set_as.approved_by if account.set_as else "",
            jobs=[_job_row(account, name, charges[account.name, name]) for name in account.jobs],
        )
        for account in accounts
    ]


def _job_row(account: Account, name: str, attempts: int) -> JobRow:
    told, job = statement(account, name), account.job(name)
    return JobRow(
        job=name,
        rounds=len(job.rounds),
        attempts=attempts,
        until=job.until,
        spent=told.spent_by_job,
        reserved=told.reserved_for_job,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a job would cost a data set."""

    dataset: str
    job: str
    units: int | None
    """Records or patients, as far as others may know; None where nothing depends on it."""
    plan: JobPlan
    told: float
    """The ε of all of the job at its own δ, as an accountant tells it."""
    tightest: float | None
    """The same by privacy loss distributions; None where it would take too long."""
    alone: float | None
    """The ε that the filter counts for it, were nothing else spent; None without any budget or promise."""
    after: float | None
    """The ε that the budget would count with it and all that was spent and promised; None without a budget."""
    budget: float | None
    affords: int
    """So many of its rounds are paid for now."""
    refused: BudgetError | None


def make_forecast(account: Account, dataset: str, job: str, plan: JobPlan, units: int | None) -> Forecast:
    """What the job would cost this account, what it has spent already counted as part of it."""
    releases = plan.releases(plan.rounds)
    whole, missing = composed(releases), cost(steps_of(releases) - account.job(job).spent)
    own = PrivacyFilter.of(plan.epsilon, plan.delta) if plan.epsilon else None
    counting, told = account.budget or own, epsilon(whole, plan.delta)
    budget = account.budget
    return Forecast(
        dataset=dataset,
        job=job,
        units=units,
        plan=plan,
        told=told,
        tightest=tightest_epsilon(releases, plan.delta) if told <= _TIGHTEST_UP_TO else None,
        alone=counting.spent(whole) if counting else None,
        after=budget.spent(account.spent + account.kept(but=job) + missing) if budget else None,
        budget=budget.epsilon if budget else None,
        affords=affordable(account, job, plan),
        refused=job_refusal(account, job, plan),
    )


def up(value: float) -> float:
    """An ε that was spent: never less than it is."""
    return _rounded(value, ROUND_CEILING)


def down(value: float) -> float:
    """An ε that is left: never more than it is."""
    return _rounded(value, ROUND_FLOOR)


def _rounded(value: float, direction: str) -> float:
    exact = Decimal(repr(value))
    return float(exact.quantize(_THREE_DECIMALS, direction)) if exact.is_finite() else value


def _spent(value: float | None) -> str:
    return ABSENT if value is None else f"{up(value):.3f}"


def _left(value: float | None) -> str:
    return "no limit" if value is None else f"{down(value):.3f}"


def _given(value: float | None) -> str:
    return ABSENT if value is None else f"{value:g}"


def accounts_data(reading: Reading, rows: Sequence[AccountRow]) -> dict[str, object]:
    """What `show --json` prints."""
    return {
        "hospital": reading.accounts.hospital,
        "head": head_text(reading.chain.head),
        "accounts": [_account_data(row) for row in rows],
    }


def _account_data(row: AccountRow) -> dict[str, object]:
    told = row.told
    return {
        "account": told.account,
        "datasets": list(told.datasets),
        "unit": told.unit,
        "epsilon": told.epsilon,
        "delta": told.delta,
        "epsilonPerJob": told.epsilon_per_job,
        "approvedBy": row.approved_by,
        "spent": up(told.spent),
        "reserved": up(told.reserved),
        "available": None if told.available is None else down(told.available),
        "state": row.state,
        "jobs": [_job_data(job) for job in row.jobs],
    }


def _job_data(job: JobRow) -> dict[str, object]:
    return {
        "job": job.job,
        "rounds": job.rounds,
        "attempts": job.attempts,
        "promisedUntil": job.until or None,
        "spent": up(job.spent),
        "reserved": up(job.reserved),
    }


def forecast_data(found: Forecast) -> dict[str, object]:
    """What `forecast --json` prints."""
    plan = found.plan
    return {
        "dataset": found.dataset,
        "job": found.job,
        "units": found.units,
        "admitted": found.refused is None,
        "reason": found.refused.message if found.refused else None,
        "rounds": plan.rounds,
        "affords": found.affords,
        "noiseMultiplier": noise_over_clipping_norm(plan.training),
        "sampleRate": float(plan.training.sample_rate),
        "steps": plan.training.steps,
        "evaluations": plan.evaluations,
        "delta": plan.delta,
        "epsilon": up(found.told),
        "epsilonTightest": None if found.tightest is None else up(found.tightest),
        "epsilonCounted": None if found.alone is None else up(found.alone),
        "countedAfter": None if found.after is None else up(found.after),
        "budget": found.budget,
    }


def verified_data(reading: Reading, *, key_given: bool, heads: int) -> dict[str, object]:
    """What `verify --json` prints of a ledger without fault."""
    return {
        "verified": True,
        "hospital": reading.accounts.hospital,
        "entries": len(reading.entries),
        "head": head_text(reading.chain.head),
        "first": reading.entries[0].at,
        "last": reading.entries[-1].at,
        "tornBytes": reading.torn,
        "gapsAccepted": [gap.number for gap in reading.gaps],
        "keyCompared": key_given,
        "headsCompared": heads,
    }


def _console() -> Console:
    """Never so narrow that figures are cut: rather a terminal breaks the line."""
    console = Console(soft_wrap=True, highlight=False)
    console.width = max(console.width, 80 if console.is_terminal else 120)
    return console


def _say(console: Console, words: str, style: str = "") -> None:
    """A line as it is: what names hold is neither markup nor an escape sequence."""
    console.print(Text(_shown(console, words), style))


def _shown(console: Console, words: str) -> str:
    words = printable(words)
    if not console.options.ascii_only:
        return words
    return words.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def _print_table(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]], *, names: int = 1) -> None:
    """The first `names` columns on the left; figures are never cut, a long name is folded."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for place, heading in enumerate(headings):
        left = place < names
        table.add_column(
            _shown(console, heading), justify="left" if left else "right", no_wrap=place > 0, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(_shown(console, cell)) for cell in row))
    console.print(table, soft_wrap=False)


def print_accounts(reading: Reading, rows: Sequence[AccountRow]) -> None:
    """The accounts, and under them the jobs of each."""
    console = _console()
    _say(console, f"{reading.accounts.hospital}, head {head_text(reading.chain.head)}")
    headings = ("data set", "unit", "budget", "δ", "per job", "spent", "reserved", "available", "state")
    _print_table(console, headings, [_account_cells(row) for row in rows], names=2)
    for row in rows:
        if row.jobs:
            _say(console, f"jobs on {_datasets(row.told)}:", "bold")
            cells = [_job_cells(job) for job in row.jobs]
            _print_table(console, ("job", "promised until", "rounds", "attempts", "spent"), cells, names=2)


def _datasets(told: Statement) -> str:
    return ", ".join(told.datasets) or told.account


def _account_cells(row: AccountRow) -> list[str]:
    told = row.told
    return [
        _datasets(told),
        told.unit,
        "no limit" if told.epsilon is None else _given(told.epsilon),
        _given(told.delta),
        _given(told.epsilon_per_job),
        _spent(told.spent),
        _spent(told.reserved),
        _left(told.available),
        row.state,
    ]


def _job_cells(job: JobRow) -> list[str]:
    return [job.job, job.until or ABSENT, str(job.rounds), str(job.attempts), _spent(job.spent)]


def print_verified(reading: Reading, *, key_given: bool, heads: int) -> None:
    """What was found to be right, and what was not compared."""
    console = _console()
    _say(console, f"{reading.file}: every entry follows the one before it and is signed", "green")
    key = "as given" if key_given else "the one that entry 1 names; give --key to compare it with the hospital's own"
    facts = [
        ("hospital", reading.accounts.hospital),
        ("key", key),
        ("entries", str(len(reading.entries))),
        ("from", reading.entries[0].at),
        ("to", reading.entries[-1].at),
        ("head", head_text(reading.chain.head)),
        ("heads held", f"all {heads} that were given" if heads else "none was given; give --head to miss no entry"),
    ]
    facts += [("gap accepted", f"entry {gap.number}, at {gap.at} by {gap.by}: {gap.reason}") for gap in reading.gaps]
    if reading.torn:
        torn = f"{counted(reading.torn, 'byte')} of an entry that is being written or was cut short; it does not count"
        facts.append(("torn tail", torn))
    _print_facts(console, facts)


def _print_facts(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    width = max(len(_shown(console, name)) for name, _ in facts)
    for name, value in facts:
        _say(console, f"{_shown(console, name):<{width}}  {value}")


def print_forecast(found: Forecast) -> None:
    """What it would cost, and whether it would be admitted."""
    console, plan = _console(), found.plan
    evaluation = f"{plan.evaluations}, each {plan.evaluation.describe()}" if plan.evaluation else "none"
    of_budget = f" of {found.budget:g}" if found.budget else ""
    facts = [
        ("job", found.job),
        ("data set", f"{found.dataset}{f', size {found.units}' if found.units else ''}"),
        ("noise multiplier", f"{noise_over_clipping_norm(plan.training):.5g}"),
        ("sampling rate", plan.training.sample_rate),
        ("steps a round", str(plan.training.steps)),
        ("evaluations", evaluation),
        (f"ε of {counted(plan.rounds, 'round')}", f"{_spent(found.told)} at δ = {plan.delta:g}"),
        ("as the filter counts", _spent(found.alone)),
        ("tighter, by PLD", _spent(found.tightest)),
        ("with all else", f"{_spent(found.after)}{of_budget}" if found.after is not None else "no limit"),
        ("rounds affordable", f"{found.affords} of {plan.rounds}"),
    ]
    _print_facts(console, facts)
    verdict = f"Not admitted: {found.refused}" if found.refused else "Admitted: the budget affords all of it."
    _say(console, verdict, "red" if found.refused else "green")


def print_gap(reading: Reading, lost: Sequence[Head]) -> None:
    """What accepting a gap does, before somebody does it."""
    console = _console()
    names = [_datasets(statement(account)) for account in reading.accounts.by_name.values()]
    _say(console, f"The ledger of {reading.accounts.hospital} ends at {head_text(reading.chain.head)}.")
    for head in lost:
        held = reading.chain.holds(head)
        found = "is part of it: as far as that tells, nothing is lost" if held else _NOT_PART
        _say(console, f"{head_text(head)} {found}.", "bold yellow" if held else "")
    _say(
        console,
        "What is lost cannot be made up for. If you accept that, the ledger goes on from here, and every budget",
    )
    _say(
        console, f"in it counts as spent: {'; '.join(names) or 'it has no data set'}. Nothing is released of these data"
    )
    _say(console, "until somebody approves a budget for each anew. It is put down with your name, and stays.")
