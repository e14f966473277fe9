from collections import defaultdict

import pytest

from consilia.log.interface import follow

WRITERS, TRANSACTIONS = 4, 40


@pytest.fixture(scope="module")
def expected():
    return [str(number) for number in range(TRANSACTIONS)]


def test_of_many_processes_nothing_is_lost_and_every_transaction_is_whole(log, act, topic, fresh, expected):
    writers = [fresh("writer") for _ in range(WRITERS)]
    processes = [act("write", writer, topic, TRANSACTIONS) for writer in writers]
    processes.append(act("open_and_close", 50))
    assert [process.wait(timeout=120) for process in processes] == [0] * (WRITERS + 1)

    transactions = defaultdict(list)
    for record in follow(log, topic, 0):
        transactions[record.headers["writer"], record.headers["number"]].append(record)
    for records in transactions.values():
        assert_whole(records)
    for writer in writers:
        assert [number for name, number in transactions if name == writer] == expected


def assert_whole(records):
    """All records of a transaction, in order, with their bytes; those of others may lie between them."""
    assert [int(record.headers["i"]) for record in records] == list(range(int(records[0].headers["of"])))
    for record in records:
        assert bytes(record.value) == bytes([int(record.headers["number"]) % 256]) * len(record.value)


def test_a_reader_beside_a_writer_sees_whole_transactions_only(log, act, topic, fresh):
    writer = act("write", fresh("writer"), topic, TRANSACTIONS)
    position, seen = 0, []
    while len({record.headers["number"] for record in seen}) < TRANSACTIONS:
        assert log.wait({topic: position}, 30)
        end = log.end_offset(topic)
        batch = [record for record in follow(log, topic, position) if record.offset < end]
        assert_ends_with_a_transaction(batch[-1])
        seen += batch
        position = end
    assert writer.wait(timeout=30) == 0


def assert_ends_with_a_transaction(record):
    assert int(record.headers["i"]) == int(record.headers["of"]) - 1
