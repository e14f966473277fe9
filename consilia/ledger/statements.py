"""An account's figures for people and programs. Pure."""

from consilia.ledger.accounts import Account, cost
from consilia.ledger.chain import Head
from consilia.ledger.interface import Statement
from consilia.privacy.accounting import epsilon


def statement(account: Account, job: str = "", head: Head | None = None) -> Statement:
    """Where the account stands, and a job in it."""
    delta, budget, part = account.delta, account.budget, account.job(job)
    spent, promised = epsilon(account.spent, delta), epsilon(account.spent + account.kept(), delta)
    of_job = epsilon(cost(part.spent), part.delta)
    return Statement(
        account=account.name,
        datasets=tuple(sorted(account.datasets)),
        fingerprints=tuple(account.datasets[name] for name in sorted(account.datasets)),
        unit=account.unit,
        epsilon=budget.epsilon if budget else None,
        delta=delta,
        epsilon_per_job=account.epsilon_per_job,
        spent=spent,
        reserved=promised - spent,
        available=_available(account),
        exhausted=account.exhausted,
        gap=account.gap > 0,
        spent_by_job=of_job,
        reserved_for_job=epsilon(cost(part.spent | part.promised), part.delta) - of_job if part.until else 0.0,
        head=head or Head(),
    )


def _available(account: Account) -> float | None:
    if account.gap:
        return 0.0
    budget = account.budget
    return max(0.0, budget.epsilon - budget.spent(account.spent + account.kept())) if budget else None
