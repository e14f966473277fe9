"""A broker that loses a transaction's end, as Kafka does where the only one is killed, holds nobody up for good."""

from contextlib import closing, suppress
from time import monotonic, sleep

import pytest
from kafka.record import MemoryRecords

from consilia.errors import LogUnavailableError
from consilia.kafka.connection import make_admin
from consilia.kafka.log import KafkaLog
from consilia.log import follow

OWN = ["rounds", "model"]
GROUP = NAME = "aggregator"


class Writer:
    """One party's connection and producer, and what it has committed."""

    def __init__(self, broker):
        self._broker = broker
        self.said: list[bytes] = []
        self.open()

    def open(self):
        self.log = KafkaLog(self._broker.settings)
        self.log.create_topic("rounds")
        self.log.create_topic("model", compacted=True)
        self.log.create_topic("up")
        self.producer = self.log.producer(NAME, topics=OWN, group=GROUP)

    def say(self):
        self.said.append(b"%d" % len(self.said))
        with self.producer.transaction() as transaction:
            transaction.append("rounds", self.said[-1])
            transaction.append("model", self.said[-1], key=f"{len(self.said)}")
            transaction.commit_offset(GROUP, "up", len(self.said))

    def lose_the_end(self):
        """Commit, and have the broker die and lose the markers, on all three topics."""
        self.say()
        self._lose_markers("CompleteCommit", [*OWN, "__consumer_offsets"])

    def take_back_and_lose_the_end(self, value):
        """Write, and take it back; the broker loses the marker that says so."""
        with suppress(TimeoutError), self.producer.transaction() as transaction:
            transaction.append("rounds", value)
            self.producer._producer.flush()  # what has not gone out need not be taken back
            raise TimeoutError
        self._lose_markers("CompleteAbort", ["rounds"])

    def _lose_markers(self, state, topics):
        """Have the broker die, and come back as where it lost them.

        Whether one that dies between its decision and the markers loses them is a race of its own parts, so they are
        taken from what it wrote.
        """
        self._await(state)
        self._broker.kill()
        for topic in topics:
            _cut_last_marker(self._broker.folder / "data" / f"{topic}-0" / f"{0:020}.log")
        self._broker.start()

    def _await(self, state):
        """Until the markers are written."""
        with make_admin(self._broker.settings) as admin:
            until = monotonic() + 10
            while (now := admin.describe_transactions([NAME])[NAME].state) != state:
                assert monotonic() < until, now
                sleep(0.05)

    def readable(self, topic):
        """Whether the last that was said can be read there."""
        with closing(KafkaLog(self._broker.settings)) as reader:
            return read_all(reader, topic)[-1:] == self.said[-1:]


def _cut_last_marker(segment):
    """Take a transaction's end from what the broker wrote of one topic."""
    batches = list(MemoryRecords(segment.read_bytes()))
    assert batches[-1].is_control_batch
    with segment.open("r+b") as file:
        file.truncate(sum(each.size_in_bytes for each in batches[:-1]))


@pytest.fixture
def writer(killable_broker):
    writer = Writer(killable_broker())
    yield writer
    writer.log.close()


def read_all(log, topic):
    return [bytes(record.value) for record in follow(log, topic, 0)]


def read_soon(log, topic, count):
    """Other connections than the writer's see what was committed a little later."""
    until = monotonic() + 2
    while len(read_all(log, topic)) < count and monotonic() < until:
        sleep(0.05)
    return read_all(log, topic)


def assert_all_can_be_read(writer):
    with closing(KafkaLog(writer._broker.settings)) as reader:
        assert read_soon(reader, "rounds", len(writer.said)) == writer.said
        assert read_soon(reader, "model", len(writer.said)) == writer.said
        assert reader.committed(GROUP, "up") == len(writer.said)


def assert_nothing_new_can_be_read(writer):
    with closing(KafkaLog(writer._broker.settings)) as reader:
        assert read_all(reader, "rounds") == read_all(reader, "model") == writer.said[:-1]
        assert not reader.committed(GROUP, "up")


@pytest.mark.slow
def test_a_party_that_only_waits_sees_to_it_that_what_it_committed_can_be_read(writer):
    writer.lose_the_end()
    assert_nothing_new_can_be_read(writer)
    until = monotonic() + 20
    while not all(writer.readable(topic) for topic in OWN) and monotonic() < until:
        assert not writer.log.wait({"up": 0}, 4)
    assert_all_can_be_read(writer)


@pytest.mark.slow
def test_a_successor_can_read_what_the_one_before_it_committed(writer):
    writer.lose_the_end()
    writer.log.close()
    assert_nothing_new_can_be_read(writer)
    writer.open()
    assert read_all(writer.log, "rounds") == read_all(writer.log, "model") == writer.said
    assert_all_can_be_read(writer)


@pytest.mark.slow
def test_who_asks_for_the_end_of_its_last_words_does_not_leave_before_others_can_read_them(writer):
    writer.lose_the_end()
    until = monotonic() + 10
    while True:
        try:
            assert writer.log.end_offset("rounds") > len(writer.said)
            break
        except LogUnavailableError:  # it has not been reached again yet
            assert monotonic() < until
            sleep(0.1)
    assert_all_can_be_read(writer)


@pytest.mark.slow
def test_what_is_said_next_ends_what_was_left_open_before_it(writer):
    writer.lose_the_end()
    writer.say()
    assert_all_can_be_read(writer)


@pytest.mark.slow
def test_what_was_taken_back_comes_back_with_what_is_said_next_where_the_end_of_that_was_lost(writer):
    writer.take_back_and_lose_the_end(b"taken back")
    with closing(KafkaLog(writer._broker.settings)) as reader:
        assert read_all(reader, "rounds") == []
        writer.say()
        assert read_soon(reader, "rounds", 2) == [b"taken back", *writer.said]
        assert read_soon(reader, "model", 1) == writer.said
