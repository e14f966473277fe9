"""Killed at any moment: afterwards whole transactions only, nothing acknowledged is lost, the successor goes on."""

import random
import time
from collections import defaultdict

import pytest

from consilia.log.interface import CHUNK_BYTES, follow

KILLS = 20
WHOLE = [5, CHUNK_BYTES, CHUNK_BYTES, 1, 300_000, 300_000]


def killed_after(process, seconds):
    """Let it acknowledge one transaction, kill it `seconds` later; the numbers that it acknowledged."""
    first = process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    return [int(line) for line in [first, *process.stdout] if line.endswith("\n")]


def transactions(log, topic):
    found = defaultdict(list)
    for record in follow(log, topic, 0):
        found[int(record.headers["number"])].append(record)
    return found


@pytest.mark.slow
def test_a_writer_killed_at_random_moments_loses_nothing(log_factory, act, topic, fresh, tmp_path, soon):
    moments, name, end = random.Random(3), fresh("writer"), 0
    for _ in range(KILLS):
        acknowledged = killed_after(act("write_until_killed", name, topic, tmp_path), moments.uniform(0, 0.05))
        log = log_factory()
        soon(lambda log=log, last=acknowledged[-1]: assert_all_whole(log, name, topic, last))
        assert log.end_offset(topic) > end
        end = log.end_offset(topic)


def assert_all_whole(log, name, topic, last_acknowledged):
    """Every transaction up to the last acknowledged, and at most the one after it, whole and with its offset."""
    found = transactions(log, topic)
    assert list(found) == list(range(len(found)))
    assert last_acknowledged < len(found) <= last_acknowledged + 2
    assert log.committed(name, topic) == len(found)
    assert all([len(record.value) for record in records] == WHOLE for records in found.values())


def test_a_writer_killed_inside_its_transaction_leaves_nothing(log, act, topic, fresh):
    name = fresh("writer")
    process = act("open_transaction", name, topic)
    assert process.stdout.readline() == "appended\n"
    process.kill()
    process.wait()
    assert log.read(topic, 0) == []
    with log.producer(name).transaction() as transaction:
        transaction.append(topic, b"successor")
    assert [bytes(record.value) for record in log.read(topic, 0)] == [b"successor"]
