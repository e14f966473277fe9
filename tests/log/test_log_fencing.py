import pytest

from consilia.errors import FencedError, LogError
from consilia.log.interface import CHUNK_BYTES, follow


def append(producer, topic, value):
    with producer.transaction() as transaction:
        transaction.append(topic, value)


def values(log, topic):
    return [bytes(record.value) for record in follow(log, topic, 0)]


def test_a_newer_producer_of_the_same_name_fences_the_older(log, log_factory, topic, fresh):
    name = fresh("aggregator")
    old = log.producer(name)
    append(old, topic, b"old")
    new = log_factory().producer(name)
    with pytest.raises(FencedError, match=f"A newer process writes as '{name}'"):
        append(old, topic, b"too late")
    append(new, topic, b"new")
    with pytest.raises(FencedError):
        append(old, topic, b"still too late")
    assert log.wait({topic: 1}, 10)
    assert values(log, topic) == [b"old", b"new"]


def test_a_transaction_that_was_open_at_the_fencing_leaves_nothing(log, log_factory, topic, fresh):
    name, group = fresh("aggregator"), fresh("group")
    old = log.producer(name)
    with pytest.raises(FencedError), old.transaction() as transaction:  # noqa: PT012 (it raises at its end)
        transaction.append(topic, b"small")
        transaction.append(topic, bytes(CHUNK_BYTES))
        transaction.commit_offset(group, topic, 1)
        new = log_factory().producer(name)
        append(new, topic, b"new")
    assert log.wait({topic: 0}, 10)
    assert values(log, topic) == [b"new"]
    assert log.committed(group, topic) is None


def test_producers_of_other_names_are_left_alone(log, log_factory, topic, fresh):
    first, second = log.producer(fresh("a")), log_factory().producer(fresh("a"))
    for value in (b"1", b"2"):
        append(first, topic, value)
        append(second, topic, value)
    assert sorted(values(log, topic)) == [b"1", b"1", b"2", b"2"]


def test_a_successor_that_names_its_topics_finds_what_was_committed_there_and_nothing_else(
    log, log_factory, topic, fresh
):
    name, group = fresh("aggregator"), fresh("group")
    log.create_topic(f"{topic}.state", compacted=True)
    old = log.producer(name, topics=[topic, f"{topic}.state"], group=group)
    with old.transaction() as transaction:
        transaction.append(topic, b"said")
        transaction.append(f"{topic}.state", b"kept", key="k")
        transaction.commit_offset(group, f"{topic}.up", 3)
    successor = log_factory()
    successor.producer(name, topics=[topic, f"{topic}.state", f"{topic}.absent"], group=group)
    assert (values(successor, topic), values(successor, f"{topic}.state")) == ([b"said"], [b"kept"])
    assert successor.committed(group, f"{topic}.up") == 3
    assert f"{topic}.absent" not in successor.topics()


def test_a_producer_that_was_closed_can_be_opened_again(log, topic, fresh):
    name = fresh("trainer")
    for value in (b"1", b"2"):
        producer = log.producer(name)
        append(producer, topic, value)
        producer.close()
        with pytest.raises(LogError, match="closed"):
            append(producer, topic, b"no")
    assert values(log, topic) == [b"1", b"2"]


def test_a_producer_needs_a_name(log):
    with pytest.raises(LogError, match="needs a name"):
        log.producer("")
