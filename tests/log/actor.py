"""Other processes for the tests of the log: `actor.py ACTION URL ARGUMENTS…`; see the fixture `act`."""

import hashlib
import os
import random
import sys
from contextlib import closing
from itertools import count
from pathlib import Path

from consilia.errors import LogError
from consilia.log.interface import CHUNK_BYTES, follow
from consilia.log.opening import open_log

SIZES = [0, 10, 1000, 200_000, CHUNK_BYTES]


def write(url, name, topic, transactions):
    """Transactions of several records, small and large; each record says which of how many it is."""
    sizes = random.Random(name)
    with closing(open_log(url)) as log:
        producer = log.producer(name)
        for number in range(int(transactions)):
            write_one(producer, topic, name, number, sizes.choices(SIZES, k=sizes.randint(1, 4)))


def write_one(producer, topic, name, number, sizes):
    with producer.transaction() as transaction:
        for i, size in enumerate(sizes):
            headers = {"writer": name, "number": str(number), "i": str(i), "of": str(len(sizes))}
            transaction.append(topic, bytes([number % 256]) * size, headers=headers)


def write_until_killed(url, name, topic, folder):
    """Endless transactions with a file, pieces and an offset, each acknowledged on stdout; goes on where it stood."""
    payload = Path(folder) / "payload"
    with closing(open_log(url)) as log:
        producer = log.producer(name)
        for number in count(log.committed(name, topic) or 0):
            payload.unlink(missing_ok=True)
            payload.write_bytes(bytes([number % 256]) * (2 * CHUNK_BYTES + 1))
            headers = {"writer": name, "number": str(number), "of": "6"}
            with producer.transaction() as transaction:
                transaction.append(topic, b"small", headers=headers | {"i": "0"})
                transaction.append_file(topic, payload, headers=headers)
                transaction.append(topic, bytes(300_000), headers=headers)
                transaction.append(topic, bytes(300_000), headers=headers)
                transaction.commit_offset(name, topic, number + 1)
            print(number, flush=True)


def open_and_close(url, times):
    """Open the log again and again: every opening looks for leftovers."""
    for _ in range(int(times)):
        open_log(url).close()


def write_with_new_producers(url, name, topic, times):
    """One large record from each of many producers, so that directories of segments come and go."""
    with closing(open_log(url)) as log:
        for number in range(int(times)):
            with closing(log.producer(f"{name}.{number}")) as producer, producer.transaction() as transaction:
                transaction.append(topic, bytes(CHUNK_BYTES), headers={"writer": name, "number": str(number)})


def append_and_trim(url, name, topic, times):
    """One large record after the other, letting go of all before it."""
    with closing(open_log(url)) as log:
        producer = log.producer(name)
        for number in range(int(times)):
            with producer.transaction() as transaction:
                transaction.trim(topic, log.end_offset(topic))
                transaction.append(topic, bytes([number % 256]) * CHUNK_BYTES, headers={"number": str(number)})


def append_on_demand(url, name, topic):
    """Append a record for every line on stdin."""
    with closing(open_log(url)) as log:
        producer = log.producer(name)
        print("ready", flush=True)
        for line in sys.stdin:
            with producer.transaction() as transaction:
                transaction.append(topic, line.strip().encode())


def open_transaction(url, name, topic):
    """Append small, large and in pieces, say so, and never come to the commit."""
    with closing(open_log(url)) as log, log.producer(name).transaction() as transaction:
        transaction.append(topic, b"small")
        transaction.append(topic, bytes(CHUNK_BYTES))
        print("appended", flush=True)
        sys.stdin.read()
        os._exit(1)


def stream_out(url, name, topic, chunks):
    """Append many chunks in one transaction; print by how many MiB the peak of memory grew, and their digest."""
    digest, noise = hashlib.sha256(), random.Random(1)
    with closing(open_log(url)) as log:
        producer, before = log.producer(name), peak_mib()
        with producer.transaction() as transaction:
            for _ in range(int(chunks)):
                chunk = noise.randbytes(CHUNK_BYTES)
                digest.update(chunk)
                transaction.append(topic, chunk)
        print(peak_mib() - before, digest.hexdigest())


def stream_in(url, topic):
    """Read a topic; print the same as `stream_out`."""
    digest = hashlib.sha256()
    with closing(open_log(url)) as log:
        before = peak_mib()
        for record in follow(log, topic, 0):
            digest.update(record.value)
        print(peak_mib() - before, digest.hexdigest())


def use_after_fork(url, topic):
    """Use a log in a forked child, which says why it may not; then in the parent."""
    log = open_log(url)
    producer = log.producer("writer")
    for use in (log.topics, lambda: producer.transaction().__enter__(), log.close):
        if not os.fork():
            try:
                use()
            except LogError as error:
                print(error, flush=True)
            os._exit(0)
        os.wait()
    append_and_trim(url, "writer2", topic, 1)
    assert len(log.read(topic, 0)) == 1
    print("the parent goes on", flush=True)


def peak_mib():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
