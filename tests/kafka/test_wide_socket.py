"""What comes over the network comes in large pieces, whole, and once."""

import os
import socket
from contextlib import closing

import pytest

from consilia.kafka import connection, network
from consilia.kafka.log import KafkaLog
from consilia.kafka.network import WideSocket
from consilia.log.interface import CHUNK_BYTES, follow

CHUNKS = 50


@pytest.fixture
def pair():
    """Two ends of a connection; the second reads widely, and never waits."""
    ours, theirs = socket.socketpair()
    wide = WideSocket(fileno=theirs.detach())
    wide.setblocking(False)
    with ours, wide:
        yield ours, wide


def drain(wide):
    """All that is there, as kafka-python asks for it."""
    pieces = []
    try:
        while piece := wide.recv(4096):
            pieces.append(piece)
    except BlockingIOError:
        return pieces, False
    return pieces, True


def test_whatever_has_arrived_comes_at_once_however_little_is_asked_for(pair):
    ours, wide = pair
    ours.sendall(b"x" * 100_000)
    assert drain(wide) == ([b"x" * 100_000], False)


def test_what_comes_later_is_read_after_all(pair):
    ours, wide = pair
    ours.sendall(b"first")
    assert drain(wide) == ([b"first"], False)
    ours.sendall(b"second")
    assert drain(wide) == ([b"second"], False)
    assert drain(wide) == ([], False)


def test_the_end_is_seen_also_behind_a_short_piece(pair):
    ours, wide = pair
    ours.sendall(b"last")
    ours.close()
    assert drain(wide) == ([b"last"], False)
    assert drain(wide) == ([], True)


def test_a_chunk_crosses_the_network_once(kafka_settings, monkeypatch):
    """A broker cuts its answer at the limit of a fetch: what is cut off has to be fetched again."""
    # A loaded machine may not fill a batch in time; batches of one chunk lie across the limit.
    monkeypatch.setattr(connection, "_LINGER", 1000)
    received = []

    class Counting(WideSocket):
        def recv(self, size, flags=0, /):
            data = super().recv(size, flags)
            received.append(len(data))
            return data

    topic, chunk = "consilia.up.wide.socket", os.urandom(CHUNK_BYTES)
    headers = {"version": "7"}
    with closing(KafkaLog(kafka_settings)) as log, log.producer("wide-socket").transaction() as transaction:
        for number in range(CHUNKS):
            transaction.append(topic, chunk, key=f"model/{number}", headers=headers)
    monkeypatch.setattr(network, "WideSocket", Counting)
    with closing(KafkaLog(kafka_settings)) as log:
        log.end_offset(topic)
        received.clear()
        assert (
            sum(record.value == chunk for record, _ in zip(follow(log, topic, 0), range(CHUNKS), strict=False))
            == CHUNKS
        )
        log.delete_topic(topic)
    assert CHUNKS * CHUNK_BYTES < sum(received) < 1.02 * CHUNKS * CHUNK_BYTES
