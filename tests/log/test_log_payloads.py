import os
from itertools import pairwise
from pathlib import Path

import pytest
from needed import missing

from consilia.errors import LogError
from consilia.log.interface import CHUNK_BYTES, follow

FEW_CHUNKS_MIB = {"sqlite": 32, "kafka": 96}
"""Over Kafka, what is in flight and what a fetch brings, with kafka-python's copies of both."""


@pytest.mark.parametrize("size", [0, 1, 1000, 200_000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 20_000_000])
def test_a_file_comes_back_in_chunks(log, producer, topic, tmp_path, size):
    path, data = tmp_path / "payload", os.urandom(size)
    path.write_bytes(data)
    with producer.transaction() as transaction:
        transaction.append_file(topic, path, key_prefix="model", headers={"round": "3"})
        path.unlink()
    records = list(follow(log, topic, 0))
    assert b"".join(record.value for record in records) == data
    assert [len(record.value) for record in records[:-1]] == [CHUNK_BYTES] * (len(records) - 1)
    assert [record.key for record in records] == [f"model/{i}" for i in range(-(-size // CHUNK_BYTES))]
    assert all(record.headers == {"round": "3"} for record in records)
    assert all(after.offset > before.offset for before, after in pairwise(records))


def test_files_pieces_and_topics_may_be_mixed_in_one_transaction(log, producer, fresh, tmp_path):
    first, second, path = fresh("topic"), fresh("topic"), tmp_path / "payload"
    path.write_bytes(b"f" * (CHUNK_BYTES + 5))
    with producer.transaction() as transaction:
        for number in range(3):
            transaction.append(first, bytes([number]) * 700_001)
            transaction.append(second, bytes([number]) * 300_003)
            transaction.append(first, b"small")
            transaction.append_file(second, path)
    first_values = [bytes(record.value) for record in follow(log, first, 0)]
    second_values = [bytes(record.value) for record in follow(log, second, 0)]
    assert first_values == [value for n in range(3) for value in (bytes([n]) * 700_001, b"small")]
    assert second_values == [v for n in range(3) for v in (bytes([n]) * 300_003, b"f" * CHUNK_BYTES, b"f" * 5)]


def test_many_small_records_in_one_transaction_come_back(log, producer, topic):
    with producer.transaction() as transaction:
        for number in range(200):
            transaction.append(topic, bytes([number]) * 100_000)
    assert [bytes(r.value) for r in follow(log, topic, 0)] == [bytes([number]) * 100_000 for number in range(200)]


def test_one_read_returns_a_few_chunks_of_a_large_payload(log, producer, topic):
    with producer.transaction() as transaction:
        for _ in range(40):
            transaction.append(topic, bytes(CHUNK_BYTES))
    assert 1 <= len(log.read(topic, 0, max_records=1000)) <= 16
    assert len(list(follow(log, topic, 0))) == 40


def absent(folder):
    return folder / "absent"


def a_folder(folder):
    return folder


def a_pipe(folder):
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def a_link_to_nowhere(folder):
    (folder / "link").symlink_to("nowhere")
    return folder / "link"


@pytest.mark.parametrize("rubbish", [absent, a_folder, a_pipe, a_link_to_nowhere])
def test_what_is_no_file_is_refused_by_name(log, producer, topic, tmp_path, rubbish):
    path = rubbish(tmp_path)
    with producer.transaction() as transaction:
        with pytest.raises(LogError, match=str(path)):
            transaction.append_file(topic, path)
        transaction.append(topic, b"goes on")
    assert [bytes(record.value) for record in log.read(topic, 0)] == [b"goes on"]


def test_a_symbolic_link_stands_for_its_file(log, producer, topic, tmp_path):
    (tmp_path / "payload").write_bytes(bytes(200_000))
    (tmp_path / "link").symlink_to("payload")
    with producer.transaction() as transaction:
        transaction.append_file(topic, tmp_path / "link")
    (tmp_path / "link").unlink()
    (tmp_path / "payload").unlink()
    assert [len(record.value) for record in log.read(topic, 0)] == [200_000]


def test_a_file_on_another_disk_is_copied(log, producer, topic):
    path = Path(f"/dev/shm/consilia-test-{topic}")
    if not path.parent.is_dir():
        missing("no /dev/shm here")
    try:
        path.write_bytes(b"x" * (CHUNK_BYTES + 1))
        with producer.transaction() as transaction:
            transaction.append_file(topic, path)
    finally:
        path.unlink()
    assert [bytes(record.value) for record in log.read(topic, 0)] == [b"x" * CHUNK_BYTES, b"x"]


@pytest.mark.slow
def test_a_gibibyte_passes_without_being_held(act, topic, fresh, log_url):
    results, most = [], FEW_CHUNKS_MIB[log_url.partition(":")[0]]
    for action in (("stream_out", fresh("producer"), topic, 1024), ("stream_in", topic)):
        output, _ = act(*action).communicate(timeout=280)
        growth, digest = output.split()
        assert float(growth) < most
        results.append(digest)
    assert results[0] == results[1]
