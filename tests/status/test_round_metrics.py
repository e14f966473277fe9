"""What an aggregator measures: each round once, its phases adding up to it, every refusal counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from status_ports import Witness
from worlds import LAYOUT, World

from consilia.errors import QuorumError, Refusal
from consilia_workers.status.phases import RoundTimes, phases

SIZE = LAYOUT.size


def observed(w: World) -> Witness:
    witness = Witness(w)
    w.aggregator = w.new_aggregator(witness)
    return witness


def play(w, *names):
    opened = w.aggregator.open_round()
    for name in names:
        w.clinics[name].send(opened, train_seconds=0.001)
    w.aggregator.collect(opened)
    w.aggregator.close_round(opened)


def test_each_round_is_counted_once_with_its_time_and_bytes(world):
    w = world("a", "b")
    witness = observed(w)
    w.begin()
    play(w, "a", "b")
    play(w, "a", "b")
    assert witness.value("consilia_rounds_total", result="Complete") == 2
    assert witness.value("consilia_rounds_total", result="Partial") == 0
    assert witness.value("consilia_round_duration_seconds_count") == 2
    assert witness.value("consilia_update_bytes_total", direction="received") == 4 * SIZE
    assert witness.value("consilia_update_bytes_total", direction="sent") == 2 * SIZE
    assert witness.value("consilia_job_round") == witness.value("consilia_job_rounds") == 2
    assert witness.value("consilia_round_participants", state="Ready") == 2


def test_the_phases_of_a_round_add_up_to_it(world):
    w = world("a", "b")
    witness = observed(w)
    w.begin()
    play(w, "a", "b")
    names = ("transfer", "train", "wait", "aggregate")
    parts = [witness.value("consilia_round_phase_duration_seconds_sum", phase=phase) or 0.0 for phase in names]
    assert sum(parts) == pytest.approx(witness.value("consilia_round_duration_seconds_sum"))
    assert parts[1] == pytest.approx(0.001)


def test_a_round_without_a_straggler_is_partial(world):
    hospitals = {"names": ["a", "b"], "minReady": 2, "minUpdates": 1}
    w = world("a", "b", hospitals=hospitals, rounds={"count": 1, "deadlineSeconds": 1})
    witness = observed(w)
    w.begin()
    play(w, "a")
    assert witness.value("consilia_rounds_total", result="Partial") == 1
    waited = witness.value("consilia_round_phase_duration_seconds_sum", phase="wait")
    assert waited is not None
    assert waited > 0.5


def test_refusals_are_counted_although_only_some_are_recorded(world):
    w = world("a", "b")
    witness = observed(w)
    opened = w.begin()
    for _ in range(30):
        w.clinics["b"].say(w.clinics["b"].joined(), signer=w.keys["a"])
    w.aggregator._read(opened)
    assert witness.value("consilia_updates_rejected_total", reason="Forged") == 30
    assert all(witness.value("consilia_updates_rejected_total", reason=reason) is not None for reason in Refusal)


def test_a_round_that_a_restart_cut_is_counted_but_its_phases_are_not_guessed(world):
    w = world("a", "b")
    observed(w)
    opened = w.begin()
    witness = observed(w)
    for clinic in w.clinics.values():
        clinic.send(opened)
    play_on = w.aggregator.open_round()
    w.aggregator.collect(play_on)
    w.aggregator.close_round(play_on)
    assert witness.value("consilia_rounds_total", result="Complete") == 1
    assert witness.value("consilia_round_phase_duration_seconds_count", phase="train") == 0


moments = st.floats(min_value=-5, max_value=1e5)


@given(
    opened=st.floats(min_value=0, max_value=1e9),
    arrived=st.dictionaries(st.sampled_from("abc"), moments),
    trained=st.dictionaries(st.sampled_from("abc"), st.floats(min_value=-1, max_value=1e300)),
    looked=moments,
    total=st.floats(min_value=0, max_value=1e5),
)
def test_whatever_clocks_and_hospitals_say_phases_are_not_negative_and_add_up(opened, arrived, trained, looked, total):
    times = RoundTimes(opened=opened, arrived={n: opened + t for n, t in arrived.items()}, looked=opened + looked)
    found = phases(times, trained, total)
    assert all(seconds >= 0 for seconds in found.values())
    assert not arrived or sum(found.values()) == pytest.approx(total, abs=1e-6)


def test_nobody_is_missed_any_more_when_the_job_is_over(world):
    w = world("a", "b", hospitals={"names": ["a", "b"], "minReady": 1, "minUpdates": 1})
    witness = observed(w)
    w.clinics["a"].join()
    w.aggregator.await_quorum()
    assert witness.value("consilia_round_participants", state="Absent") == 1
    w.aggregator.fail(QuorumError("nobody came."))
    assert witness.value("consilia_round_participants", state="Absent") == 0
