"""What a ledger answers to each question that comes over a network."""

from datetime import timedelta

from consilia.ledger.content import Content
from consilia.ledger.interface import Budget, PrivacyLedger
from consilia.ledger.requests import (
    AccountNamed,
    Admit,
    Affords,
    AllStates,
    Answer,
    Charged,
    Commit,
    Compare,
    ContentKeyAsked,
    Done,
    Find,
    GiveBack,
    HeadAsked,
    HeadTold,
    PlanAsked,
    Planned,
    Question,
    Register,
    Reserve,
    RoundsAfforded,
    SetBudget,
    State,
    StatesTold,
    seal,
)


def answer_of(ledger: PrivacyLedger, question: Question) -> Answer:
    """What the ledger answers; what it raises goes through."""
    match question:
        case SetBudget() | Admit() | GiveBack() | Compare():
            _carry_out(ledger, question)
            return Done()
        case Register(dataset=dataset, fingerprint=fingerprint, pieces=pieces):
            return AccountNamed(account=ledger.register(dataset, Content(fingerprint, pieces), question.unit))
        case Reserve(account=account, job=job, round=number, mechanism=mechanism, charge_nonce=nonce):
            charge = ledger.reserve(account, job, number, mechanism, nonce=nonce, purpose=question.purpose)
            return Charged(charge=charge)
        case Commit():
            return HeadTold(head=ledger.commit(question.reservation, question.output))
        case HeadAsked():
            return HeadTold(head=ledger.head())
        case _:
            return _look_up(ledger, question)


def _look_up(
    ledger: PrivacyLedger, question: Find | PlanAsked | Affords | State | AllStates | ContentKeyAsked
) -> Answer:
    match question:
        case Find():
            return AccountNamed(account=ledger.find(question.dataset))
        case PlanAsked():
            return Planned(plan=ledger.plan(question.spec, question.units))
        case Affords():
            return RoundsAfforded(rounds=ledger.affords(question.account, question.job, question.plan))
        case State():
            return StatesTold(statements=(ledger.state(question.account, question.job),))
        case AllStates():
            return StatesTold(statements=tuple(ledger.statements()))
        case ContentKeyAsked():
            return seal(ledger.content_key(), question.public_key)


def _carry_out(ledger: PrivacyLedger, question: SetBudget | Admit | GiveBack | Compare) -> None:
    match question:
        case SetBudget():
            ledger.set_budget(question.account, Budget(**question.model_dump(exclude={"type", "account"})))
        case Admit(lease_seconds=seconds):
            ledger.admit(question.account, question.job, question.plan, timedelta(seconds=seconds))
        case GiveBack():
            ledger.give_back(question.account, question.job, question.reason)
        case Compare():
            ledger.compare(question.seen)
