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
    if _within_budget(account, account.spent + price + kept) and _within_cap(account, of_job):
        return None
    # Only a budget that would not even pay for this release alone is spent; promises to others end some day.
    left = _within_budget(account, account.spent + price)
    beside = " beside what is promised to others" if left and _within_cap(account, of_job) else ""
    message = f"{_limits(account)} does not afford another {mechanism.describe()}{beside}."
    return BudgetError(message, remedy=_ASK_LESS, by_job=left)


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


def budget_refusal(account: Account, budget: Budget) -> BudgetError | None:
    """Why the account does not get this budget, if it does not."""
    if account.budget is None or fresh_approval(account, budget) or not _enlarges(account, account.budget, budget):
        return None
    message = f"the ledger has a budget of ε = {account.budget.epsilon:g} at δ = {account.budget.delta:g} for it."
    if not budget.approved_by:
        return BudgetError(message, remedy="Keep to that budget, or have a larger one approved.")
    message += (
        " The approval was used before, and the budget lowered since, by this Dataset or another of the same data."
    )
    return BudgetError(message, remedy="Keep to that budget, or have a larger one approved anew, with a new reason.")


def changes(account: Account, budget: Budget) -> bool:
    """Whether there is anything to put down: other numbers, or an approval that was not used yet."""
    own = (account.budget.epsilon, account.budget.delta, account.epsilon_per_job) if account.budget else None
    cap = float(budget.epsilon_per_job) if budget.epsilon_per_job else None
    return own != (float(budget.epsilon), float(budget.delta), cap) or fresh_approval(account, budget)


def fresh_approval(account: Account, budget: Budget) -> bool:
    """Whether somebody approved it, and that approval was not used yet."""
    approval = (float(budget.epsilon), budget.approved_by, budget.reason, budget.after_gap)
    return bool(budget.approved_by) and approval not in account.approvals


def _enlarges(account: Account, now: PrivacyFilter, budget: Budget) -> bool:
    cap = float(budget.epsilon_per_job) if budget.epsilon_per_job else float("inf")
    old_cap = account.epsilon_per_job or float("inf")
    return float(budget.epsilon) > now.epsilon or float(budget.delta) > now.delta or cap > old_cap
