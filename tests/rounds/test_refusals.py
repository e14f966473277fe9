"""Whatever breaks a rule, from a hospital or in its name, is refused and recorded, and costs nobody else."""

import numpy as np
import pytest
from worlds import LAYOUT, Clinic, World, model_file

from consilia.errors import Refusal
from consilia.log import chunks
from consilia.wire.identity import Identity
from consilia.wire.layout import Layout, Tensor
from consilia.wire.messages import RoundClosed, RoundOpened
from consilia.wire.payload import describe

ELSEWHERE = "sha256:" + "1" * 64
STRANGER = Identity.generate("stranger")
DATA = model_file(9.0)
OTHER = Layout.of([Tensor(name="weight", dtype=np.dtype("<f4"), shape=(2, 3)), LAYOUT.tensors[0]])


def forged(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA), DATA, signer=STRANGER)


def in_anothers_name(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA, hospital="good"), DATA)


def for_another_job(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA, job="other"), DATA)


def another_base(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA, base_digest=ELSEWHERE), DATA)


def another_configuration(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA, config_digest=ELSEWHERE), DATA)


def another_roster(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA, roster_digest=ELSEWHERE), DATA)


def another_round(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA, round=2), DATA)


def other_bytes_than_signed(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA), model_file(8.0))


def oversized(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA + b"more"), DATA + b"more")


def more_than_announced(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA), DATA + b"more")


def undersized(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA[:-4]), DATA[:-4])


def cut_off(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA), DATA[:-4])


def without_its_chunks(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.say(clinic.update(opened, DATA))
    clinic.join()


def another_shape(clinic: Clinic, opened: RoundOpened) -> None:
    data = model_file(9.0, OTHER)
    clinic.say(clinic.update(opened, data), *chunks(data))


def not_a_number(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.send(opened, np.nan)


def infinite(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.send(opened, np.inf)


def second_opinion(clinic: Clinic, opened: RoundOpened) -> None:
    clinic.send(opened, 1.0)
    clinic.send(opened, 9.0)


HOSTILE = [
    (forged, Refusal.FORGED),
    (in_anothers_name, Refusal.FORGED),
    (for_another_job, Refusal.WRONG_JOB),
    (another_base, Refusal.WRONG_BASE),
    (another_configuration, Refusal.WRONG_JOB),
    (another_roster, Refusal.WRONG_JOB),
    (another_round, Refusal.STALE),
    (other_bytes_than_signed, Refusal.WRONG_DIGEST),
    (oversized, Refusal.OVERSIZED),
    (more_than_announced, Refusal.OVERSIZED),
    (undersized, Refusal.WRONG_LAYOUT),
    (cut_off, Refusal.TRUNCATED),
    (without_its_chunks, Refusal.TRUNCATED),
    (another_shape, Refusal.OVERSIZED if OTHER.size > LAYOUT.size else Refusal.WRONG_LAYOUT),
    (not_a_number, Refusal.NOT_FINITE),
    (infinite, Refusal.NOT_FINITE),
    (second_opinion, Refusal.CONFLICTING),
]


def close(w: World, opened: RoundOpened) -> RoundClosed:
    w.aggregator.collect(opened)
    w.aggregator.close_round(opened)
    return next(message for message in reversed(w.said()) if isinstance(message, RoundClosed))


@pytest.mark.parametrize(("attack", "reason"), HOSTILE, ids=[attack.__name__ for attack, _ in HOSTILE])
def test_what_breaks_a_rule_is_refused_and_recorded_and_costs_nobody_else(world, attack, reason):
    w = world("bad", "good")
    opened = w.begin()
    attack(w.clinics["bad"], opened)
    if attack is not second_opinion:
        w.clinics["bad"].send(opened, 1.0)
    w.clinics["good"].send(opened, 3.0)
    closed = close(w, opened)
    assert [(refused.hospital, refused.reason) for refused in closed.refused] == [("bad", reason)]
    assert {(u.hospital, u.sha256) for u in closed.cohort} == {
        ("bad", describe([model_file(1.0)]).sha256),
        ("good", describe([model_file(3.0)]).sha256),
    }


def test_a_replayed_update_of_an_earlier_round_is_stale(world):
    w = world("a")
    opened = w.begin()
    replay = w.clinics["a"].update(opened, DATA)
    w.clinics["a"].say(replay, DATA)
    close(w, opened)
    second = w.aggregator.open_round()
    w.clinics["a"].say(replay.model_copy(update={"metrics": {"auc": 1.0}}), DATA)
    w.clinics["a"].send(second, 1.0)
    closed = close(w, second)
    assert [u.sha256 for u in closed.cohort] == [describe([model_file(1.0)]).sha256]


def test_rubbish_between_messages_is_passed_over(world):
    w = world("a")
    opened = w.begin()
    with w.clinics["a"].producer.transaction() as transaction:
        transaction.append(w.clinics["a"].topic, b"\x00" * 100)
    w.clinics["a"].send(opened, 1.0)
    assert len(close(w, opened).cohort) == 1


def test_nobody_can_fill_the_record_with_rubbish(world):
    w = world("bad", "good")
    opened = w.begin()
    for number in range(50):
        w.clinics["bad"].say(w.clinics["bad"].update(opened, DATA, samples=number + 1), signer=STRANGER)
    w.clinics["bad"].send(opened, 1.0)
    w.clinics["good"].send(opened, 3.0)
    refused = close(w, opened).refused
    assert len(refused) == 11
    assert refused[-1].message == "more of this hospital's messages were refused"
