"""Random histories: whatever hospitals do in whatever order, and however often the aggregator is killed.

Each round closes once, with exactly the updates that should count, and its model is their mean.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from worlds import LAYOUT, World, make_job, model_file

from consilia.log import chunks
from consilia.wire.identity import Identity
from consilia.wire.messages import Left, RoundClosed, RoundOpened
from consilia.wire.payload import describe
from consilia_workers.local.export import export_model

NAMES = ["a", "b", "c"]
STRANGER = Identity.generate("stranger")
hospitals = st.sampled_from(NAMES)
values = st.integers(-8, 8).map(lambda number: number / 2)


@dataclass
class Expected:
    """What a person with pen and paper would note of one round and of who is there."""

    present: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    arrived: dict[str, float] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    """Sent the header of an update for this round, and nothing of it since."""

    def appears(self, name: str) -> None:
        self.present.add(name)
        self.left.discard(name)

    def decision(self, overdue: bool) -> str:
        """Close when everybody present sent or time is over; fail when everybody left before anything arrived."""
        if self.left >= set(NAMES) and not self.arrived:
            return "Fail"
        if self.arrived and (overdue or self.present <= self.arrived.keys()):
            return "Close"
        return "Extend" if overdue else "Collect"

    def interrupts(self, name: str) -> None:
        """Anything signed after a header without its chunks shows that they will not come."""
        if name in self.begun:
            self.begun.discard(name)
            self.present.discard(name)


class Histories(RuleBasedStateMachine):
    """Three hospitals, of which one must send."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        many = {"count": 1000, "deadlineSeconds": 60, "maxExtensions": 1000}
        job = make_job(NAMES, hospitals={"names": NAMES, "minReady": 3, "minUpdates": 1}, rounds=many)
        self.world = World(Path(self.folder.name), job)
        self.opened: RoundOpened = self.world.begin()
        self.expected = Expected(present=set(NAMES))
        self.cohorts: list[dict[str, float]] = []

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()
            self.folder.cleanup()

    def read(self) -> None:
        self.world.aggregator._reception.read(self.opened)

    @rule(name=hospitals)
    def join(self, name: str) -> None:
        self.world.clinics[name].join()
        self.expected.interrupts(name)
        self.expected.appears(name)

    @rule(name=hospitals)
    def leave(self, name: str) -> None:
        self.world.clinics[name].say(Left(job="job", hospital=name, reason="TaskFailed"))
        self.expected.interrupts(name)
        self.expected.present.discard(name)
        self.expected.left.add(name)

    @rule(name=hospitals, value=values)
    def send(self, name: str, value: float) -> None:
        """The first update counts; the same again is passed over, a different one refused."""
        self.world.clinics[name].send(self.opened, value)
        self.expected.interrupts(name)
        if name not in self.expected.arrived:
            self.expected.arrived[name] = value
            self.expected.appears(name)

    @rule(name=hospitals)
    def send_rubbish_numbers(self, name: str) -> None:
        self.world.clinics[name].send(self.opened, np.nan)
        self.expected.interrupts(name)
        if name not in self.expected.arrived:
            self.expected.present.discard(name)

    @rule(name=hospitals)
    def send_only_a_header(self, name: str) -> None:
        clinic, data = self.world.clinics[name], model_file(7.0)
        clinic.say(clinic.update(self.opened, data))
        self.expected.interrupts(name)
        if name not in self.expected.arrived:
            self.expected.begun.add(name)

    @rule(name=hospitals)
    def send_only_chunks(self, name: str) -> None:
        """They complete the header of this round, if there is one; an older round's is history."""
        clinic = self.world.clinics[name]
        with clinic.producer.transaction() as transaction:
            for chunk in chunks(model_file(7.0)):
                transaction.append(clinic.topic, chunk)
        if name in self.expected.begun:
            self.expected.begun.discard(name)
            self.expected.arrived[name] = 7.0
            self.expected.appears(name)

    @rule(name=hospitals)
    def replay_the_round_before(self, name: str) -> None:
        clinic, data = self.world.clinics[name], model_file(7.0)
        clinic.say(
            clinic.update(self.opened, data, round=max(1, self.opened.round - 1), base_digest="sha256:" + "0" * 64),
            *chunks(data),
        )
        self.expected.interrupts(name)
        if self.opened.round == 1 and name not in self.expected.arrived:
            self.expected.present.discard(name)

    @rule(name=hospitals)
    def forge(self, name: str) -> None:
        clinic, data = self.world.clinics[name], model_file(7.0)
        clinic.say(clinic.update(self.opened, data), *chunks(data), signer=STRANGER)
        self.expected.interrupts(name)

    @rule()
    def restart(self) -> None:
        self.world.aggregator = self.world.new_aggregator()
        assert self.world.aggregator.open_round() == self.opened

    @rule(overdue=st.booleans())
    def look(self, overdue: bool) -> None:
        self.read()
        aggregator, e = self.world.aggregator, self.expected
        decision = aggregator._quorum.decide(aggregator._attendance(overdue=overdue))
        assert decision == e.decision(overdue)
        if decision == "Close":
            self.close()

    def close(self) -> None:
        self.world.aggregator.close_round(self.opened)
        e = self.expected
        self.cohorts.append(e.arrived)
        self.expected = Expected(present=e.present & e.arrived.keys(), left=e.left)
        self.opened = self.world.aggregator.open_round()

    @invariant()
    def everybody_agrees_on_who_is_there(self) -> None:
        if not hasattr(self, "world"):
            return
        self.read()
        reception, e = self.world.aggregator._reception, self.expected
        assert (reception.present, set(reception.left)) == (e.present, e.left)
        assert {name: a.update.payload for name, a in reception.arrived.items()} == {
            name: describe([model_file(value)]) for name, value in e.arrived.items()
        }

    @invariant()
    def every_round_closed_once_with_its_cohort_and_their_mean(self) -> None:
        if not hasattr(self, "world"):
            return
        closed = [message for message in self.world.said() if isinstance(message, RoundClosed)]
        assert [c.round for c in closed] == list(range(1, len(self.cohorts) + 1))
        assert [[u.hospital for u in c.cohort] for c in closed] == [sorted(cohort) for cohort in self.cohorts]
        if closed:
            path = self.world.folder / "model"
            export_model(self.world.logs[0], "job", len(closed), path)
            mean = np.float32(sum(self.cohorts[-1].values()) / len(self.cohorts[-1]))
            assert set(LAYOUT.view(path.read_bytes())["weight"].ravel()) == {mean}


def test_a_round_whose_hospitals_all_left_after_one_of_them_had_sent_closes_and_the_next_one_fails():
    history = Histories()
    history.begin()
    try:
        history.leave("c")
        history.send("b", 1.0)
        history.leave("b")
        history.leave("a")
        history.look(overdue=False)
        history.look(overdue=False)
        assert (len(history.cohorts), history.expected.decision(overdue=False)) == (1, "Fail")
    finally:
        history.teardown()


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
