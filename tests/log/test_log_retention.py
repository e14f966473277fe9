import pytest

from consilia.errors import LogError, RecordGoneError
from consilia.log.interface import CHUNK_BYTES, follow


def publish(producer, topic, records):
    with producer.transaction() as transaction:
        for key, value in records:
            transaction.append(topic, value, key=key)


def newest(log, topic):
    return {record.key: bytes(record.value) for record in follow(log, topic, 0)}


@pytest.mark.parametrize("size", [1, CHUNK_BYTES])
def test_a_compacted_topic_keeps_the_newest_record_of_every_key(log, producer, topic, size):
    log.create_topic(topic, compacted=True)
    for number in range(5):
        publish(producer, topic, [("same", bytes([number]) * size), (f"own-{number}", b"kept")])
    assert newest(log, topic) == {"same": b"\x04" * size} | {f"own-{number}": b"kept" for number in range(5)}


def test_a_key_may_come_twice_in_one_transaction(log, producer, topic):
    log.create_topic(topic, compacted=True)
    publish(producer, topic, [("key", b"1"), ("key", b"2"), ("other", b"3")])
    assert newest(log, topic) == {"key": b"2", "other": b"3"}


def test_a_compacted_topic_wants_keys(log, producer, topic):
    log.create_topic(topic, compacted=True)
    with pytest.raises(LogError, match=f"without a key for the compacted topic {topic}"):
        publish(producer, topic, [("key", b"1"), (None, b"2")])
    assert newest(log, topic) == {}


def test_a_topic_that_is_not_compacted_keeps_everything(log, producer, topic):
    for number in range(3):
        publish(producer, topic, [("key", str(number).encode())])
    assert [bytes(record.value) for record in follow(log, topic, 0)] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("size", [1, CHUNK_BYTES])
def test_trimmed_records_are_gone_and_the_rest_stays(log, producer, topic, size):
    for number in range(4):
        publish(producer, topic, [("key", bytes([number]) * size)])
    records = list(follow(log, topic, 0))
    with producer.transaction() as transaction:
        transaction.trim(topic, records[2].offset)
    assert [record.offset for record in follow(log, topic, 0)] == [record.offset for record in records[2:]]
    with pytest.raises(RecordGoneError, match=f"Record {records[1].offset} of {topic} is gone"):
        log.record(topic, records[1].offset)
    assert log.record(topic, records[2].offset) == records[2]


def test_offsets_are_never_given_twice(log, producer, topic):
    publish(producer, topic, [("key", b"1"), ("key", b"2")])
    end = log.end_offset(topic)
    with producer.transaction() as transaction:
        transaction.trim(topic, end)
    assert log.read(topic, 0) == []
    assert log.end_offset(topic) >= end
    publish(producer, topic, [("key", b"3")])
    (record,) = log.read(topic, 0)
    assert record.offset >= end


def test_trimming_a_compacted_topic_leaves_it_working(log, producer, topic):
    log.create_topic(topic, compacted=True)
    publish(producer, topic, [("a", b"1"), ("b", b"1")])
    with producer.transaction() as transaction:
        transaction.trim(topic, log.end_offset(topic))
        transaction.append(topic, b"2", key="b")
    publish(producer, topic, [("a", b"3")])
    assert newest(log, topic) == {"a": b"3", "b": b"2"}


def test_trimming_an_absent_topic_does_nothing(log, producer, topic):
    with producer.transaction() as transaction:
        transaction.trim(topic, 5)
    assert topic not in log.topics()


def test_a_record_that_is_yet_to_come_is_not_there(log, producer, topic):
    publish(producer, topic, [("key", b"1")])
    with pytest.raises(RecordGoneError, match="no record 99 yet"):
        log.record(topic, 99)


def test_bytes_that_a_reader_holds_survive_trimming_and_closing(log, log_factory, producer, topic):
    publish(producer, topic, [("key", bytes([7]) * CHUNK_BYTES)])
    reader = log_factory()
    assert reader.wait({topic: 0}, 10)
    (record,) = reader.read(topic, 0)
    with producer.transaction() as transaction:
        transaction.trim(topic, log.end_offset(topic))
    reader.close()
    assert bytes(record.value) == bytes([7]) * CHUNK_BYTES
