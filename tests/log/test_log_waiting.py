import random
import time

import pytest


@pytest.mark.parametrize("behind", [0, 1])
def test_wait_returns_at_once_when_there_is_something_to_read(log, producer, fresh, behind):
    topic, other = fresh("topic"), fresh("topic")
    with producer.transaction() as transaction:
        transaction.append(topic, b"")
        transaction.append(topic, b"")
    started = time.monotonic()
    assert log.wait({other: 0, topic: log.read(topic, 0)[behind].offset}, 60)
    assert time.monotonic() - started < 5


def test_wait_gives_up_in_time(log, producer, topic):
    with producer.transaction() as transaction:
        transaction.append(topic, b"")
    started = time.monotonic()
    assert not log.wait({topic: log.end_offset(topic)}, 0.2)
    assert 0.2 <= time.monotonic() - started < 5
    assert not log.wait({topic: log.end_offset(topic)}, 0)
    assert not log.wait({}, 0)


def test_records_that_were_trimmed_away_wake_nobody(log, producer, topic):
    with producer.transaction() as transaction:
        transaction.append(topic, b"")
    with producer.transaction() as transaction:
        transaction.trim(topic, log.end_offset(topic))
    assert not log.wait({topic: 0}, 0.05)


def test_a_commit_in_another_process_wakes_a_reader(log, act, topic, fresh):
    other, pauses = act("append_on_demand", fresh("producer"), topic), random.Random(1)
    assert other.stdout.readline() == "ready\n"
    position = 0
    for number in range(20):
        time.sleep(pauses.uniform(0, 0.02))  # so that the commit comes before, while or after the reader lies down
        other.stdin.write(f"{number}\n")
        other.stdin.flush()
        assert log.wait({topic: position, fresh("absent"): 0}, 30)
        (record,) = log.read(topic, position)
        assert bytes(record.value) == str(number).encode()
        position = record.offset + 1


def test_commits_to_other_topics_wake_nobody(log, act, topic, fresh):
    other = act("append_on_demand", fresh("producer"), fresh("topic"))
    other.stdin.write("1\n2\n3\n")
    other.stdin.flush()
    assert other.stdout.readline() == "ready\n"
    assert not log.wait({topic: 0}, 0.2)
