"""Many small records: one process writes windows of an ECG, another reads them as they come.

    python -m benchmarks.stream --log kafka sqlite [--records 100000] [--transaction 1000] [--repeats 3] [--json]

Through the same interface as everything else: each record is 4 KiB with a key and a header, in transactions of so many.
The reader checks that each comes once, in order. Over Kafka, a stream that is not measured warms the broker up.
"""

import argparse
import json
import multiprocessing
import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from uuid import uuid4

import psutil

from benchmarks.costs import Moment
from benchmarks.logs import NAMES, SQLITE, Place, add_options, serving
from benchmarks.options import as_text, positive, progress
from benchmarks.repeats import together
from consilia.errors import ConsiliaError, RunError
from consilia.log import Log, Record
from consilia.log.opening import open_log

RECORD_BYTES = 4096
"""Of a value: 2 leads, 4 s at 256 Hz, 16 bit, for instance."""
NUMBER = struct.Struct("<Q")
"""Each value begins with its record's number."""
READ_RECORDS = 1024
"""So many are asked for at a time: 4 MiB."""
SILENCE_SECONDS = 60
"""After so long without a record the reader gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What is written and read."""

    url: str
    topic: str
    records: int
    transaction: int
    """Records of one transaction."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One stream, or the medians over repeats."""

    log: str
    records: int
    record_bytes: int
    records_per_transaction: int
    records_per_second: float
    """From the first append to the reading of the last record."""
    delay_ms_median: float
    """From the append of a record to its reading, of the last of each batch that was read."""
    producer_cpu_us_per_record: float
    consumer_cpu_us_per_record: float
    broker_cpu_us_per_record: float | None
    """None where the broker was not started here; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Side:
    """What the writer or the reader notes."""

    time: float
    """On the clock that all processes share, in seconds: when the first was appended, or the last had been read."""
    cpu: float
    """In seconds, without connecting."""
    delays: tuple[float, ...] = ()
    """In seconds."""


def measure(log: str, place: Place, wanted: Stream) -> Measurement:
    """One stream on a topic of its own, which is deleted afterwards.

    Raises:
        RunError: a record was lost, came twice or out of order, or did not come at all.
    """
    own = psutil.Process()
    with closing(open_log(place.url)) as connection, multiprocessing.get_context("spawn").Pool(2) as pool:
        connection.create_topic(wanted.topic)
        first = Moment.now(own, place.broker)
        reader, writer = pool.apply_async(consume, (wanted,)), pool.apply_async(produce, (wanted,))
        began, ended = writer.get(), reader.get()
        last = Moment.now(own, place.broker)
        connection.delete_topic(wanted.topic)
    return Measurement(
        log=log,
        records=wanted.records,
        record_bytes=RECORD_BYTES,
        records_per_transaction=wanted.transaction,
        records_per_second=round(wanted.records / (ended.time - began.time), 1),
        delay_ms_median=round(1000 * median(ended.delays), 1),
        producer_cpu_us_per_record=round(1e6 * began.cpu / wanted.records, 2),
        consumer_cpu_us_per_record=round(1e6 * ended.cpu / wanted.records, 2),
        broker_cpu_us_per_record=_broker(log, place, first, last, wanted.records),
    )


def _broker(log: str, place: Place, first: Moment, last: Moment, records: int) -> float | None:
    known = log == SQLITE or place.broker is not None
    return round(1e6 * (last.broker - first.broker) / records, 2) if known else None


def produce(wanted: Stream) -> Side:
    """In a process of its own: append them all, as fast as the log takes them."""
    rest = os.urandom(RECORD_BYTES - NUMBER.size)
    with closing(open_log(wanted.url)) as log, closing(log.producer(f"{wanted.topic}.producer")) as producer:
        began, used = time.monotonic(), time.process_time()
        for start in range(0, wanted.records, wanted.transaction):
            with producer.transaction() as transaction:
                for number in range(start, min(start + wanted.transaction, wanted.records)):
                    value = NUMBER.pack(number) + rest
                    transaction.append(wanted.topic, value, key="patient-1", headers={"kind": "window"})
        return Side(began, time.process_time() - used)


def consume(wanted: Stream) -> Side:
    """In a process of its own: read until the last has come.

    Raises:
        RunError: one is missing, or comes twice or out of order.
    """
    expected, delays = 0, list[float]()
    with closing(open_log(wanted.url)) as log:
        used = time.process_time()
        for batch in batches(log, wanted.topic):
            for record in batch:
                (number,) = NUMBER.unpack_from(record.value)
                if number != expected:
                    raise RunError(f"record {expected} of {wanted.topic} was to come, and {number} did.")
                expected += 1
            delays.append(time.time() - batch[-1].timestamp)
            if expected == wanted.records:
                break
        else:
            raise RunError(f"{wanted.topic} fell silent after {expected} of {wanted.records} records.")
        return Side(time.monotonic(), time.process_time() - used, tuple(delays))


def batches(log: Log, topic: str) -> Iterator[Sequence[Record]]:
    """What comes, as it comes; ends with a long silence."""
    offset = 0
    while log.wait({topic: offset}, SILENCE_SECONDS):
        while records := log.read(topic, offset, max_records=READ_RECORDS):
            yield records
            offset = records[-1].offset + 1


def stream(log: str, options: argparse.Namespace) -> Measurement:
    """All repeats on one log of its own, the median of each figure."""
    with (
        tempfile.TemporaryDirectory(prefix="consilia-bench-") as scratch,
        serving(log, options.kafka, Path(scratch)) as place,
    ):
        wanted = Stream(url=place.url, topic="", records=options.records, transaction=options.transaction)
        if log != SQLITE:
            progress(f"Consilia {NAMES[log]}: warming up")
            measure(log, place, fresh(wanted))
        return together([_repeat(number, log, place, wanted) for number in range(1, options.repeats + 1)])


def _repeat(number: int, log: str, place: Place, wanted: Stream) -> Measurement:
    progress(f"Consilia {NAMES[log]}: {number}")
    return measure(log, place, fresh(wanted))


def fresh(wanted: Stream) -> Stream:
    """The same on a topic that nobody used before."""
    return replace(wanted, topic=f"benchmark.stream.{uuid4().hex[:12]}")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=(__doc__ or "").split("\n")[0])
    add_options(parser)
    parser.add_argument("--records", type=positive, default=100_000)
    parser.add_argument("--transaction", type=positive, default=1000, help="records of one transaction")
    parser.add_argument("--repeats", type=positive, default=3, help="medians over so many streams")
    parser.add_argument("--json", action="store_true", help="one line, for scripts")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    options = parse()
    try:
        ours = [asdict(stream(log, options)) for log in dict.fromkeys(options.log)]
    except ConsiliaError as error:
        sys.exit(f"error: {error}")
    said = {"repeats": options.repeats, "ours": ours}
    print(json.dumps(said) if options.json else as_text(said))


if __name__ == "__main__":
    main()
