"""A broker that loses a transaction's end, as Kafka does where the only one is killed, holds nobody up for good."""

from contextlib import closing
from time import monotonic, sleep

import pytest

from consilia.errors import LogUnavailableError
from consilia.kafka.log import KafkaLog
from consilia.log import follow

LOST = "these partitions are likely deleted already and hence can be skipped"
"""What Kafka says when it forgets a marker."""
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

    def lose_a_marker(self):
        """Commit, and have the broker die between its decision and the marker."""
        for _ in range(10):
            before = self._broker.log.read_text().count(LOST)
            self.say()
            self._broker.kill()
            self._broker.start()
            until = monotonic() + 5
            while self._broker.log.read_text().count(LOST) == before and monotonic() < until:
                sleep(0.1)
            if not any(self.readable(topic) for topic in OWN):
                return  # else it died a moment too late, and has only forgotten that the marker is there
        pytest.fail("the broker lost no marker: is what this test is about cured in this version of Kafka?")

    def readable(self, topic):
        """Whether the last that was said can be read there."""
        with closing(KafkaLog(self._broker.settings)) as reader:
            return read_all(reader, topic)[-1:] == self.said[-1:]


@pytest.fixture
def writer(killable_broker):
    writer = Writer(killable_broker())
    with closing(writer.log):
        yield writer
        writer.log.close()


def read_all(log, topic):
    return [bytes(record.value) for record in follow(log, topic, 0)]


def assert_all_can_be_read(writer):
    with closing(KafkaLog(writer._broker.settings)) as reader:
        until = monotonic() + 2
        while len(read_all(reader, "model")) < len(writer.said) and monotonic() < until:
            sleep(0.05)  # other connections see it soon after
        assert read_all(reader, "rounds") == read_all(reader, "model") == writer.said
        assert reader.committed(GROUP, "up") == len(writer.said)


def assert_nothing_new_can_be_read(writer):
    with closing(KafkaLog(writer._broker.settings)) as reader:
        assert read_all(reader, "rounds") == read_all(reader, "model") == writer.said[:-1]
        # An earlier marker may have been lost among the offsets only.
        assert (reader.committed(GROUP, "up") or 0) < len(writer.said)


@pytest.mark.slow
def test_a_party_that_only_waits_sees_to_it_that_what_it_committed_can_be_read(writer):
    writer.lose_a_marker()
    assert_nothing_new_can_be_read(writer)
    until = monotonic() + 20
    while not all(writer.readable(topic) for topic in OWN) and monotonic() < until:
        assert not writer.log.wait({"up": 0}, 4)
    assert_all_can_be_read(writer)


@pytest.mark.slow
def test_a_successor_can_read_what_the_one_before_it_committed(writer):
    writer.lose_a_marker()
    writer.log.close()
    assert_nothing_new_can_be_read(writer)
    writer.open()
    assert read_all(writer.log, "rounds") == read_all(writer.log, "model") == writer.said
    assert_all_can_be_read(writer)


@pytest.mark.slow
def test_who_asks_for_the_end_of_its_last_words_does_not_leave_before_others_can_read_them(writer):
    writer.lose_a_marker()
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
    writer.lose_a_marker()
    writer.say()
    assert_all_can_be_read(writer)
