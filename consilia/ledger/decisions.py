"""What an account affords: whole jobs when they are admitted, single releases when they are charged. Pure."""

from consilia.errors import BudgetError
from consilia.ledger.accounts import Account, cost, steps_of
from consilia.ledger.interface import Budget
from consilia.privacy.accounting import Curve, curve
from consilia.privacy.filter import PrivacyFilter
from consilia.privacy.mechanisms import Mechanism
from consilia.privacy.plan import JobPlan

_ASK_LESS = "Ask for fewer rounds, a smaller ε or more noise, or have the hospital raise the budget with an approval."


def affordable(account: Account, job: str, plan: JobPlan) -> int:
    """How many of the job's rounds are paid for, what it has spent already counted as part of them."""
    low, high = 0, plan.rounds
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _room(account, job, plan, middle) else (low, middle - 1)
    return low


def _room(account: Account, job: str, plan: JobPlan, rounds: int) -> bool:
    spent, asked = account.job(job).spent, steps_of(plan.releases(rounds))
    total = account.spent + account.kept(but=job) + cost(asked - spent)
    return _within_budget(account, total) and _within_cap(account, cost(asked | spent))


def job_refusal(account: Account, job: str, plan: JobPlan) -> BudgetError | None:
    """Why the job is not admitted, if it is not."""
    found = affordable(account, job, plan)
    if found >= plan.rounds:
        return None
    message = f"{_limits(account)} affords {found} of the job's {plan.rounds} rounds."
    return BudgetError(message, remedy=_ASK_LESS, affords=found)


def release_refusal(account: Account, job: str, mechanism: Mechanism) -> BudgetError | None:
    """Why one release is not charged, if it is not.

    What was promised to the job is its own, as long as the budget was not lowered since. What goes beyond it, such as
    a round that is trained again after a crash, must leave room for what was promised to others; and a job that named
    an ε never spends more.
    """
    part, price = account.job(job), curve(mechanism)
    of_job = cost(part.spent) + price
    if part.epsilon and not PrivacyFilter.of(part.epsilon, part.delta).admits(of_job):
        message = f"the job has spent the ε = {part.epsilon:g} that it promised, interrupted rounds included."
        return BudgetError(message, remedy="Apply a job with more rounds or a larger ε.", by_job=True)
    kept = 0.0 if part.until and part.covers(mechanism) else account.kept()
    if not _within_budget(account, account.spent + price + kept) or not _within_cap(account, of_job):
        return BudgetError(f"{_limits(account)} does not afford another {mechanism.describe()}.", remedy=_ASK_LESS)
    return None


def _within_budget(account: Account, total: Curve) -> bool:
    return not account.gap and (account.budget is None or account.budget.admits(total))


def _within_cap(account: Account, of_job: Curve) -> bool:
    cap = account.epsilon_per_job
    return cap is None or PrivacyFilter.of(cap, account.delta).admits(of_job)


def _limits(account: Account) -> str:
    if account.gap:
        return (
            "the ledger has lost entries, so that no budget is trusted until one is approved with "
            f"afterGap: {account.gap}: it"
        )
    budget = f"the budget of ε = {account.budget.epsilon:g}" if account.budget else "the hospital"
    return f"{budget}, at most {account.epsilon_per_job:g} for one job," if account.epsilon_per_job else budget


def enlarges(account: Account, budget: Budget) -> bool:
    """Whether the budget allows anything that the account's own does not; a first one does not count."""
    if account.budget is None:
        return False
    cap = float(budget.epsilon_per_job) if budget.epsilon_per_job else float("inf")
    old_cap = account.epsilon_per_job or float("inf")
    return float(budget.epsilon) > account.budget.epsilon or float(budget.delta) > account.budget.delta or cap > old_cap


def same_budget(account: Account, budget: Budget) -> bool:
    """Whether the account's budget was set last in the very same words."""
    last = account.set_as
    return last is not None and budget == Budget(
        epsilon=last.epsilon,
        delta=last.delta,
        epsilon_per_job=last.epsilon_per_job,
        approved_by=last.approved_by,
        reason=last.reason,
        after_gap=last.after_gap,
    )
