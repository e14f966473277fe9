"""What the log itself costs: transactions a second, how soon a reader wakes, bytes a second, memory while streaming.

    python -m benchmarks.log [--log kafka sqlite] [--kafka HOST:PORT] [--json]

Real processes where two are meant to talk. Medians, unless said. A Kafka broker is a fresh one, unless a cluster is
given; there, topics of the benchmark's own are made and deleted.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from benchmarks.logs import add_options, serving
from benchmarks.options import as_text
from consilia.errors import ConsiliaError
from consilia.log.interface import CHUNK_BYTES, Log, Producer, chunks, follow
from consilia.log.opening import open_log

MEGABYTE = 1_000_000
FILE_BYTES = 100 * MEGABYTE
STREAM_BYTES = 1 << 30
TRANSACTIONS = 500
WAKES = 200


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run, on one log."""

    log: str
    small_transactions_per_second: float
    cpu_ms_per_small_transaction: float
    wake_ms_median: float
    wake_ms_99th: float
    wait_cpu_percent: float
    append_file_100mb_seconds: float
    append_100mb_seconds: float
    read_100mb_seconds: float
    writer_peak_growth_mib: float
    reader_peak_growth_mib: float


@dataclass(frozen=True, slots=True)
class Names:
    """The topics, with names that no other run has."""

    run: str

    def __call__(self, word: str) -> str:
        """The one for this purpose."""
        return f"benchmark.{self.run}.{word}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log", description=(__doc__ or "").partition("\n")[0])
    add_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON line")
    options = parser.parse_args()
    try:
        ours = [asdict(on(log, options.kafka)) for log in dict.fromkeys(options.log)]
    except ConsiliaError as error:
        sys.exit(f"error: {error}")
    print(json.dumps({"ours": ours}) if options.json else as_text({"ours": ours}))


def on(log: str, kafka: str | None) -> Measurement:
    """Everything, on a log of its own or the given cluster."""
    with (
        tempfile.TemporaryDirectory(prefix="consilia-bench-") as scratch,
        serving(log, kafka, Path(scratch)) as place,
    ):
        names = Names(uuid4().hex[:12])
        try:
            return measure(log, place.url, names, Path(scratch))
        finally:
            clear(place.url, names)


def clear(url: str, names: Names) -> None:
    """A cluster that others use is left as it was."""
    with closing(open_log(url)) as log:
        for topic in log.topics():
            if topic.startswith(names("")):
                log.delete_topic(topic)


def measure(kind: str, url: str, names: Names, scratch: Path) -> Measurement:
    """Everything, one after the other."""
    with closing(open_log(url)) as log, closing(log.producer(names("producer"))) as producer:
        rate, cpu = small_transactions(producer, names)
        wakes, waiting = wakes_and_load(log, producer, url, names)
        by_file, by_pieces, read = large_payload(log, producer, names, scratch)
    return Measurement(
        log=kind,
        small_transactions_per_second=round(rate, 1),
        cpu_ms_per_small_transaction=round(cpu, 3),
        wake_ms_median=round(statistics.median(wakes), 2),
        wake_ms_99th=round(statistics.quantiles(wakes, n=100)[98], 2),
        wait_cpu_percent=round(waiting, 2),
        append_file_100mb_seconds=round(by_file, 4),
        append_100mb_seconds=round(by_pieces, 4),
        read_100mb_seconds=round(read, 4),
        writer_peak_growth_mib=round(in_process(write_stream, url, names), 1),
        reader_peak_growth_mib=round(in_process(read_stream, url, names), 1),
    )


def small_transactions(producer: Producer, names: Names) -> tuple[float, float]:
    """Transactions a second with one record of 200 bytes and one offset each, and CPU milliseconds for one."""
    started, used = time.perf_counter(), time.process_time()
    for number in range(TRANSACTIONS):
        with producer.transaction() as transaction:
            transaction.append(names("small"), bytes(200), key="key", headers={"kind": "benchmark"})
            transaction.commit_offset(names("group"), names("small"), number)
    elapsed, used = time.perf_counter() - started, time.process_time() - used
    return TRANSACTIONS / elapsed, 1000 * used / TRANSACTIONS


def wakes_and_load(log: Log, producer: Producer, url: str, names: Names) -> tuple[list[float], float]:
    """Milliseconds from the end of a commit to the return of another process's `wait`; CPU percent of that process."""
    gaps = random.Random(1)
    reader = multiprocessing.get_context("spawn").Process(target=report_wakes, args=(url, names))
    reader.start()
    log.wait({names("ready"): 0}, 60)
    ends = []
    for _ in range(WAKES):
        time.sleep(gaps.uniform(0.001, 0.05))
        with producer.transaction() as transaction:
            transaction.append(names("wake"), b"")
        ends.append(time.monotonic())
    log.wait({names("wakes"): 0}, 60)
    reader.join()
    report = json.loads(bytes(next(follow(log, names("wakes"), 0)).value))
    return [1000 * (woken - end) for woken, end in zip(report["times"], ends, strict=True)], report["cpu_percent"]


def report_wakes(url: str, names: Names) -> None:
    """In a process of its own: note when each record is seen."""
    with closing(open_log(url)) as log, closing(log.producer(names("reader"))) as producer:
        with producer.transaction() as transaction:
            transaction.append(names("ready"), b"")
        started, used, times = time.monotonic(), time.process_time(), list[float]()
        offset = 0
        while len(times) < WAKES and log.wait({names("wake"): offset}, 60):
            woken, found = time.monotonic(), log.read(names("wake"), offset)
            times += [woken] * len(found)
            offset = found[-1].offset + 1 if found else offset
        percent = 100 * (time.process_time() - used) / (time.monotonic() - started)
        with producer.transaction() as transaction:
            transaction.append(names("wakes"), json.dumps({"times": times, "cpu_percent": percent}).encode())


def large_payload(log: Log, producer: Producer, names: Names, scratch: Path) -> tuple[float, float, float]:
    """Seconds for 100 MB: appended as a file that is on the disk, appended in pieces of 1 MiB, read and summed."""
    path = scratch / "payload"
    path.write_bytes(os.urandom(FILE_BYTES))
    os.sync()
    data, last = path.read_bytes(), list[int]()

    def by_file() -> None:
        with producer.transaction() as transaction:
            transaction.append_file(names("file"), path)
            transaction.trim(names("file"), log.end_offset(names("file")))

    def by_pieces() -> None:
        with producer.transaction() as transaction:
            transaction.trim(names("pieces"), log.end_offset(names("pieces")))
            for piece in chunks(data):
                transaction.append(names("pieces"), piece)
        last[:] = transaction.appended(names("pieces"))

    def read() -> None:
        assert sum(touch(record.value) for record in follow(log, names("pieces"), last[0])) >= 0

    return median_seconds(by_file), median_seconds(by_pieces), median_seconds(read)


def touch(value: memoryview) -> int:
    """Read every page of the value."""
    return sum(value[::512])


def median_seconds(action: Callable[[], None], times: int = 5) -> float:
    """How long it takes."""

    def once() -> float:
        started = time.perf_counter()
        action()
        return time.perf_counter() - started

    return statistics.median(once() for _ in range(times))


def in_process(target: Callable[[str, Names], float], url: str, names: Names) -> float:
    """What the function returns in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(target, (url, names))


def write_stream(url: str, names: Names) -> float:
    """Append 1 GiB in one transaction; MiB by which the peak of resident memory grew."""
    with closing(open_log(url)) as log, closing(log.producer(names("writer"))) as producer:
        before = peak_mib()
        with producer.transaction() as transaction:
            for piece in pieces():
                transaction.append(names("stream"), piece)
        return peak_mib() - before


def pieces() -> Iterator[bytes]:
    """1 GiB in pieces of 1 MiB."""
    for _ in range(STREAM_BYTES // CHUNK_BYTES):
        yield os.urandom(CHUNK_BYTES)


def read_stream(url: str, names: Names) -> float:
    """Read and hash that 1 GiB; MiB by which the peak of resident memory grew."""
    with closing(open_log(url)) as log:
        before, digest, size = peak_mib(), hashlib.sha256(), 0
        for record in follow(log, names("stream"), 0):
            digest.update(record.value)
            size += len(record.value)
        assert size == STREAM_BYTES
        return peak_mib() - before


def peak_mib() -> float:
    """This process's peak of resident memory so far; getrusage would count that of the parent, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
