import pytest

from consilia.errors import LogError
from consilia.log.interface import CHUNK_BYTES, Log, chunks, follow


def values(log, topic):
    return [bytes(record.value) for record in follow(log, topic, 0)]


def test_an_implementation_has_all_of_the_interface(log):
    assert isinstance(log, Log)


def test_records_come_in_the_order_of_their_appending_with_growing_offsets(log, producer, topic):
    for start in range(0, 30, 3):
        with producer.transaction() as transaction:
            for number in range(start, start + 3):
                transaction.append(topic, str(number).encode())
    records = list(follow(log, topic, 0))
    assert [int(bytes(record.value)) for record in records] == list(range(30))
    offsets = [record.offset for record in records]
    assert offsets == sorted(set(offsets))
    assert log.end_offset(topic) > offsets[-1]


def test_a_record_keeps_key_headers_value_and_time(log, producer, topic):
    with producer.transaction() as transaction:
        transaction.append(topic, memoryview(b"\x00value"), key="clé", headers={"größe": "µ", "empty": ""})
        transaction.append(topic, b"")
    first, second = log.read(topic, 0)
    assert (first.topic, first.key, bytes(first.value)) == (topic, "clé", b"\x00value")
    assert first.headers == {"größe": "µ", "empty": ""}
    assert first.value.readonly
    assert (second.key, bytes(second.value), second.headers) == (None, b"", {})
    assert 1.6e9 < first.timestamp <= second.timestamp


def test_the_caller_may_reuse_a_buffer_as_soon_as_it_is_appended(log, producer, topic):
    small, large = bytearray(b"before"), bytearray(CHUNK_BYTES)
    with producer.transaction() as transaction:
        transaction.append(topic, memoryview(small))
        transaction.append(topic, memoryview(large))
        small[:] = b"after!"
        large[:5] = b"after"
    assert values(log, topic) == [b"before", bytes(CHUNK_BYTES)]


def test_nothing_is_visible_before_the_transaction_ends(log, log_factory, producer, topic, fresh):
    other, group = log_factory(), fresh("group")
    with producer.transaction() as transaction:
        transaction.append(topic, b"small")
        transaction.append(topic, bytes(CHUNK_BYTES))
        transaction.commit_offset(group, topic, 7)
        for reader in (log, other):
            assert values(reader, topic) == []
            assert reader.committed(group, topic) is None
            assert reader.end_offset(topic) == 0
    assert len(values(log, topic)) == 2


def test_a_transaction_that_raises_leaves_nothing(log, producer, topic, fresh, tmp_path):
    group, path = fresh("group"), tmp_path / "payload"
    path.write_bytes(bytes(2 * CHUNK_BYTES))
    with producer.transaction() as transaction:
        transaction.append(topic, b"kept")
    with pytest.raises(ZeroDivisionError), producer.transaction() as transaction:  # noqa: PT012
        transaction.append(topic, b"small")
        transaction.append(topic, bytes(CHUNK_BYTES))
        transaction.append_file(topic, path)
        transaction.commit_offset(group, topic, 1)
        transaction.trim(topic, 1)
        1 / 0  # noqa: B018
    assert values(log, topic) == [b"kept"]
    assert log.committed(group, topic) is None
    with producer.transaction() as transaction:
        transaction.append(topic, b"next")
    assert values(log, topic) == [b"kept", b"next"]


def test_offsets_and_output_in_several_topics_appear_together(log, producer, fresh):
    first, second, group = fresh("topic"), fresh("topic"), fresh("group")
    for number in range(3):
        with producer.transaction() as transaction:
            transaction.append(first, str(number).encode())
            transaction.append(second, str(number).encode())
            transaction.commit_offset(group, first, number)
            transaction.commit_offset(group, first, number + 1)
        assert len(values(log, first)) == len(values(log, second)) == log.committed(group, first) == number + 1
    assert log.committed(group, second) is None
    assert log.committed(fresh("group"), first) is None


def test_another_connection_sees_a_transaction_soon(log_factory, producer, topic):
    other = log_factory()
    with producer.transaction() as transaction:
        transaction.append(topic, b"a")
        transaction.append(topic, b"b")
    assert other.wait({topic: 0}, 10)
    assert values(other, topic) == [b"a", b"b"]


def test_an_empty_transaction_changes_nothing(log, producer, topic):
    with producer.transaction():
        pass
    assert log.read(topic, 0) == []


def test_reading_may_begin_anywhere_and_stop_early(log, producer, topic):
    with producer.transaction() as transaction:
        for number in range(10):
            transaction.append(topic, str(number).encode())
    records = list(follow(log, topic, 0))
    assert log.read(topic, records[4].offset, max_records=3) == records[4:7]
    assert log.read(topic, records[-1].offset + 1) == []
    assert log.read(topic, log.end_offset(topic) + 1000) == []
    assert log.record(topic, records[5].offset) == records[5]


def test_absent_topics_are_empty_until_something_is_appended(log, producer, topic):
    assert topic not in log.topics()
    assert (log.read(topic, 0), log.end_offset(topic), log.committed("group", topic)) == ([], 0, None)
    with producer.transaction() as transaction:
        transaction.append(topic, b"first")
    assert topic in log.topics()
    assert list(log.topics()) == sorted(log.topics())


def test_a_deleted_topic_is_gone_with_its_offsets_and_may_be_made_anew(log, producer, topic, fresh):
    group, other = fresh("group"), fresh("topic")
    with producer.transaction() as transaction:
        for name in (topic, other):
            transaction.append(name, bytes(CHUNK_BYTES), key="key")
            transaction.commit_offset(group, name, 1)
    log.delete_topic(topic)
    log.delete_topic(fresh("absent"))
    assert topic not in log.topics()
    assert (log.read(topic, 0), log.end_offset(topic), log.committed(group, topic)) == ([], 0, None)
    assert (len(values(log, other)), log.committed(group, other)) == (1, 1)
    log.create_topic(topic, compacted=True)
    with producer.transaction() as transaction:
        transaction.append(topic, b"anew", key="key")
    assert values(log, topic) == [b"anew"]


def test_creating_a_topic_twice_is_fine_but_not_as_another_kind(log, topic):
    log.create_topic(topic)
    log.create_topic(topic)
    with pytest.raises(LogError, match=f"{topic} exists, not compacted"):
        log.create_topic(topic, compacted=True)
    assert log.end_offset(topic) == 0


@pytest.mark.parametrize("name", ["", ".", "..", "with space", "a/b", "ä", "x" * 250, "nul\0"])
def test_a_name_that_kafka_would_refuse_is_refused(log, producer, name):
    with pytest.raises(LogError, match="cannot name a topic"):
        log.create_topic(name)
    for use in (
        lambda transaction: transaction.append(name, b""),
        lambda transaction: transaction.trim(name, 1),
        lambda transaction: transaction.commit_offset("group", name, 1),
    ):
        with pytest.raises(LogError, match="cannot name a topic"), producer.transaction() as transaction:
            use(transaction)


def test_a_value_over_the_limit_is_refused_and_the_transaction_can_go_on(log, producer, topic):
    with producer.transaction() as transaction:
        with pytest.raises(LogError, match=f"1048577 bytes for {topic}.*Cut the value"):
            transaction.append(topic, bytes(CHUNK_BYTES + 1))
        for piece in chunks(bytes(CHUNK_BYTES + 1)):
            transaction.append(topic, piece)
    assert [len(value) for value in values(log, topic)] == [CHUNK_BYTES, 1]


def test_misuse_is_refused_with_an_explanation(log, producer, topic):
    with producer.transaction() as transaction:
        with pytest.raises(LogError, match="has a transaction open"), producer.transaction():
            pass
        transaction.append(topic, b"first")
    for use in (
        lambda: transaction.append(topic, b""),
        lambda: transaction.commit_offset("group", topic, 1),
        lambda: transaction.trim(topic, 1),
    ):
        with pytest.raises(LogError, match="transaction has ended"):
            use()
    assert values(log, topic) == [b"first"]


@pytest.mark.parametrize("rubbish", [{"key": "\ud800"}, {"headers": {"\ud800": "a"}}, {"headers": {"a": "\udfff"}}])
def test_text_that_is_not_unicode_is_refused(log, producer, topic, rubbish):
    with pytest.raises(LogError, match="cannot hold"), producer.transaction() as transaction:
        transaction.append(topic, b"", **rubbish)
    assert log.read(topic, 0) == []


def test_a_closed_log_says_so(log_factory, topic):
    log = log_factory()
    producer = log.producer("anybody")
    log.close()
    log.close()
    for use in (lambda: log.read(topic, 0), lambda: log.wait({}, 0), lambda: log.producer("a"), log.topics):
        with pytest.raises(LogError, match="closed"):
            use()
    with pytest.raises(LogError, match="closed"), producer.transaction():
        pass


def test_closing_a_producer_inside_its_transaction_loses_the_transaction_only(log, producer, topic, fresh):
    with pytest.raises(LogError, match="closed"), producer.transaction() as transaction:  # noqa: PT012
        transaction.append(topic, bytes(CHUNK_BYTES))
        producer.close()
    producer.close()
    assert log.read(topic, 0) == []
    with log.producer(fresh("producer")).transaction() as transaction:
        transaction.append(topic, b"fine")
    assert values(log, topic) == [b"fine"]
