"""What the log itself costs: transactions a second, how soon a reader wakes, bytes a second, memory while streaming.

    python -m benchmarks.log [--url sqlite:///path/to/directory] [--json]

Without a URL, a SQLite log in a temporary directory. Real processes where two are meant to talk. Medians, unless said.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from consilia.log.interface import CHUNK_BYTES, Log, Producer, follow
from consilia.log.opening import open_log, sqlite_url

MEGABYTE = 1_000_000
FILE_BYTES = 100 * MEGABYTE
STREAM_BYTES = 1 << 30
TRANSACTIONS = 2000
WAKES = 200


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run, as one JSON line."""

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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="the log to measure; it is left with some topics named benchmark.*")
    parser.add_argument("--json", action="store_true", help="one JSON line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        measured = asdict(measure(options.url or sqlite_url(Path(scratch) / "log"), Path(scratch)))
    print(
        json.dumps(measured) if options.json else "\n".join(f"{name:32} {value:g}" for name, value in measured.items())
    )


def measure(url: str, scratch: Path) -> Measurement:
    """Everything, one after the other."""
    with closing(open_log(url)) as log, closing(log.producer("benchmark")) as producer:
        for topic in log.topics():
            if topic.startswith("benchmark."):
                log.delete_topic(topic)
        rate, cpu = small_transactions(producer)
        wakes, waiting = wakes_and_load(log, producer, url)
        by_file, by_pieces, read = large_payload(log, producer, scratch)
    return Measurement(
        small_transactions_per_second=rate,
        cpu_ms_per_small_transaction=cpu,
        wake_ms_median=statistics.median(wakes),
        wake_ms_99th=statistics.quantiles(wakes, n=100)[98],
        wait_cpu_percent=waiting,
        append_file_100mb_seconds=by_file,
        append_100mb_seconds=by_pieces,
        read_100mb_seconds=read,
        writer_peak_growth_mib=in_process(write_stream, url),
        reader_peak_growth_mib=in_process(read_stream, url),
    )


def small_transactions(producer: Producer) -> tuple[float, float]:
    """Transactions a second with one record of 200 bytes and one offset each, and CPU milliseconds for one."""
    started, used = time.perf_counter(), time.process_time()
    for number in range(TRANSACTIONS):
        with producer.transaction() as transaction:
            transaction.append("benchmark.small", bytes(200), key="key", headers={"kind": "benchmark"})
            transaction.commit_offset("benchmark", "benchmark.small", number)
    elapsed, used = time.perf_counter() - started, time.process_time() - used
    return TRANSACTIONS / elapsed, 1000 * used / TRANSACTIONS


def wakes_and_load(log: Log, producer: Producer, url: str) -> tuple[list[float], float]:
    """Milliseconds from the end of a commit to the return of another process's `wait`; CPU percent of that process."""
    gaps = random.Random(1)
    reader = multiprocessing.get_context("spawn").Process(target=report_wakes, args=(url,))
    reader.start()
    log.wait({"benchmark.ready": 0}, 60)
    ends = []
    for _ in range(WAKES):
        time.sleep(gaps.uniform(0.001, 0.05))
        with producer.transaction() as transaction:
            transaction.append("benchmark.wake", b"")
        ends.append(time.monotonic())
    log.wait({"benchmark.wakes": 0}, 60)
    reader.join()
    report = json.loads(bytes(log.record("benchmark.wakes", 0).value))
    return [1000 * (woken - end) for woken, end in zip(report["times"], ends, strict=True)], report["cpu_percent"]


def report_wakes(url: str) -> None:
    """In a process of its own: note when each record is seen."""
    with closing(open_log(url)) as log, closing(log.producer("benchmark.reader")) as producer:
        with producer.transaction() as transaction:
            transaction.append("benchmark.ready", b"")
        started, used, times = time.monotonic(), time.process_time(), list[float]()
        while len(times) < WAKES and log.wait({"benchmark.wake": len(times)}, 60):
            times.append(time.monotonic())
        percent = 100 * (time.process_time() - used) / (time.monotonic() - started)
        with producer.transaction() as transaction:
            transaction.append("benchmark.wakes", json.dumps({"times": times, "cpu_percent": percent}).encode())


def large_payload(log: Log, producer: Producer, scratch: Path) -> tuple[float, float, float]:
    """Seconds for 100 MB: appended as a file that is on the disk, appended in pieces of 1 MiB, read and summed."""
    path = scratch / "payload"
    path.write_bytes(os.urandom(FILE_BYTES))
    os.sync()
    data = path.read_bytes()

    def by_file() -> None:
        with producer.transaction() as transaction:
            transaction.append_file("benchmark.file", path)
            transaction.trim("benchmark.file", log.end_offset("benchmark.file"))

    def by_pieces() -> None:
        with producer.transaction() as transaction:
            transaction.trim("benchmark.pieces", log.end_offset("benchmark.pieces"))
            for start in range(0, FILE_BYTES, CHUNK_BYTES):
                transaction.append("benchmark.pieces", memoryview(data)[start : start + CHUNK_BYTES])

    def read() -> None:
        start = log.end_offset("benchmark.pieces") - -(-FILE_BYTES // CHUNK_BYTES)
        assert sum(touch(record.value) for record in follow(log, "benchmark.pieces", start)) >= 0

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


def in_process(target: Callable[[str], float], url: str) -> float:
    """What the function returns in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(target, (url,))


def write_stream(url: str) -> float:
    """Append 1 GiB in one transaction; MiB by which the peak of resident memory grew."""
    with closing(open_log(url)) as log, closing(log.producer("benchmark.stream")) as producer:
        before = peak_mib()
        with producer.transaction() as transaction:
            for piece in pieces():
                transaction.append("benchmark.stream", piece)
        return peak_mib() - before


def pieces() -> Iterator[bytes]:
    """1 GiB in pieces of 1 MiB."""
    for _ in range(STREAM_BYTES // CHUNK_BYTES):
        yield os.urandom(CHUNK_BYTES)


def read_stream(url: str) -> float:
    """Read and hash that 1 GiB; MiB by which the peak of resident memory grew."""
    with closing(open_log(url)) as log:
        before, digest, size = peak_mib(), hashlib.sha256(), 0
        for record in follow(log, "benchmark.stream", 0):
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
