"""Any sequence of operations, compared with the simplest log there is: lists in memory."""

from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from consilia.errors import FencedError, RecordGoneError
from consilia.log.interface import CHUNK_BYTES, follow

TOPICS = ["plain", "other", "compacted"]
SIZES = st.sampled_from([0, 1, 1000, 140_000, CHUNK_BYTES])
APPENDS = st.lists(st.tuples(st.sampled_from(TOPICS), st.sampled_from("abc"), SIZES), max_size=6)


@dataclass
class Topic:
    """What a topic must hold: (offset, key, value); below `start` it was trimmed."""

    records: list[tuple[int, str, bytes]] = field(default_factory=list)
    start: int = 0

    def kept(self):
        return [record for record in self.records if record[0] >= self.start]

    def newest(self):
        return sorted({key: (offset, key, value) for offset, key, value in self.kept()}.values())


class LogMachine(RuleBasedStateMachine):
    """Two connections and two producers of one log against the model."""

    def __init__(self, log_factory, fresh, soon):
        super().__init__()
        self.log_factory, self.soon = log_factory, soon
        self.names = {topic: fresh(topic) for topic in TOPICS}
        self.producer_name, self.group = fresh("producer"), fresh("group")
        self.model = {topic: Topic() for topic in TOPICS}
        self.offsets = {}
        self.counter = 0

    @initialize()
    def open(self):
        self.writer, self.reader = self.log_factory(), self.log_factory()
        self.writer.create_topic(self.names["compacted"], compacted=True)
        self.producer = self.writer.producer(self.producer_name)
        self.fenced = None

    def append(self, transaction, appends):
        for topic, key, size in appends:
            self.counter += 1
            value = bytes([self.counter % 256]) * size
            transaction.append(self.names[topic], value, key=key)
            yield topic, key, value

    @rule(appends=APPENDS, offset=st.none() | st.integers(0, 2**60))
    def commit(self, appends, offset):
        before = {topic: self.writer.end_offset(name) for topic, name in self.names.items()}
        with self.producer.transaction() as transaction:
            appended = list(self.append(transaction, appends))
            if offset is not None:
                transaction.commit_offset(self.group, self.names["plain"], offset)
                self.offsets["plain"] = offset
        for topic, name in self.names.items():
            own = [(key, value) for written, key, value in appended if written == topic]
            self.at_once(partial(self.learn, topic, name, before[topic], own))

    def at_once(self, check):
        """What one's own connection committed is there; since `fence`, the producer has another."""
        check() if self.fenced is None else self.soon(check)

    def learn(self, topic, name, before, appended):
        """Take the offsets over into the model; superseded records of the same transaction may be missing already."""
        records = [(r.offset, r.key, bytes(r.value)) for r in follow(self.writer, name, before)]
        found = [(key, value) for _, key, value in records]
        assert found == appended if topic != "compacted" else set(dict(appended).items()) <= set(found) <= set(appended)
        assert all(offset >= before for offset, _, _ in records)
        self.model[topic].records += records

    @rule(appends=APPENDS)
    def roll_back(self, appends):
        with pytest.raises(KeyboardInterrupt), self.producer.transaction() as transaction:  # noqa: PT012
            list(self.append(transaction, appends))
            transaction.commit_offset(self.group, self.names["other"], 1)
            raise KeyboardInterrupt

    @rule(topic=st.sampled_from(TOPICS), index=st.integers(0, 20))
    def trim(self, topic, index):
        model = self.model[topic]
        offsets = [offset for offset, _, _ in model.kept()]
        before = offsets[index] if index < len(offsets) else self.writer.end_offset(self.names[topic])
        with self.producer.transaction() as transaction:
            transaction.trim(self.names[topic], before)
        model.start = max(model.start, before)

    @rule(topic=st.sampled_from(["plain", "other"]))
    def delete(self, topic):
        self.writer.delete_topic(self.names[topic])
        self.model[topic] = Topic()
        self.offsets.pop(topic, None)

    @rule()
    def fence(self):
        self.fenced, self.producer = self.producer, self.log_factory().producer(self.producer_name)

    @precondition(lambda self: self.fenced is not None)
    @rule(size=SIZES)
    def write_too_late(self, size):
        with pytest.raises(FencedError), self.fenced.transaction() as transaction:
            transaction.append(self.names["plain"], bytes(size))

    @rule()
    def reopen(self):
        self.writer.close()
        self.writer = self.log_factory()
        self.producer, self.fenced = self.writer.producer(self.producer_name), None

    @invariant()
    def everything_is_there_and_nothing_else(self):
        self.at_once(lambda: self.compare(self.writer))
        self.soon(lambda: self.compare(self.reader))

    def compare(self, log):
        for topic, name in self.names.items():
            self.check(topic, [(r.offset, r.key, bytes(r.value)) for r in follow(log, name, 0)])
            assert log.end_offset(name) >= max([0, *(offset + 1 for offset, _, _ in self.model[topic].records)])
            assert log.committed(self.group, name) == self.offsets.get(topic)

    def check(self, topic, found):
        model = self.model[topic]
        if topic == "compacted":
            assert set(model.newest()) <= set(found) <= set(model.kept())
            assert found == sorted(found)
        else:
            assert found == model.kept()

    @invariant()
    def trimmed_records_are_gone(self):
        for topic, model in self.model.items():
            if model.start:
                with pytest.raises(RecordGoneError):
                    self.writer.record(self.names[topic], model.start - 1)


@pytest.mark.slow
def test_any_sequence_of_operations_agrees_with_the_model(log_factory, fresh, soon, request):
    over_a_network = "kafka" in request.node.callspec.id
    run_state_machine_as_test(
        lambda: LogMachine(log_factory, fresh, soon),
        settings=settings(
            max_examples=4 if over_a_network else 40,
            stateful_step_count=15 if over_a_network else 25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
