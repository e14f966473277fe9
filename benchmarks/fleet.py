"""What a hub costs with many hospitals in clusters of their own: letters, heartbeats, one job offered to all.

    python -m benchmarks.fleet --hospitals 50,100,200 [--seconds 60] [--processes 2] [--json]

API server, etcd, Kafka (TLS, certificates, ACLs) and the hub's operator are the real ones; each number of hospitals has
fresh ones. The hospitals' operators are real, too, many in a process apart; their Kubernetes is a dictionary, and no
pod runs anywhere. What each figure means stands in docs/benchmarks.md.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.costs import Moment, other_cores, peak_mib
from benchmarks.fleet_hub import OUTSIDE, PATIENCE, Fleet, fleet
from benchmarks.hub import api_server, open_hub
from benchmarks.named import also_known
from benchmarks.operator_process import ROOT, OperatorProcess, operator
from benchmarks.options import as_text, positive, progress
from benchmarks.reconcile import line
from consilia.api.task_spec import HOSPITALS_AT_MOST
from consilia.broker.guarded import Guarded
from consilia.enrolment.keeping import BUNDLE_FILE
from consilia.errors import ConsiliaError
from consilia.log import topics
from tests.cluster.bare import Bare

MANY = 10_000
"""The hospitals that the curve is drawn on to."""
INTERVAL = 15.0
"""Between two heartbeats of a hospital, in seconds."""
JOB = "study"
_BEGIN = 0.05
"""Between two hospitals that start in one process, in seconds."""
_CALM = 20.0
"""After so long all that was begun is done, in seconds; or after a third of a span, if that is less."""
_DENIES = 10
"""Of so many hospitals one denies."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One number of hospitals."""

    hospitals: int
    admit_seconds: float
    """From the first Hospital until the last has its bundle, Kafka's start included."""
    admit_cpu_ms_per_hospital: float
    """The operator's."""
    join_seconds: float
    """From the first hospital's start until the hub says of the last that it is there."""
    rest_cpu_percent: float
    """Of one core, the operator's, with heartbeats and nothing else."""
    heartbeats_per_second: float
    rest_cpu_ms_per_heartbeat: float
    rest_requests_per_heartbeat: float
    """What the operator asked of the API server."""
    offered_seconds: float
    """From the job's creation until the last hospital's offer was on the log."""
    answered_seconds: float
    """Until the job's status said of each what it has decided."""
    offer_cpu_ms_per_hospital: float
    rounds_cpu_percent: float
    """Of one core, while every report tells another round."""
    rounds_letters_per_second: float
    rounds_cpu_ms_per_letter: float
    empty_rss_mib: float
    """Of the operator before the first Hospital."""
    rss_mib: float
    """At the end."""
    peak_mib: float
    offer_bytes: int
    """The largest offer."""
    report_bytes: int
    """The largest report."""
    status_bytes: int
    """The job, as JSON, all that etcd keeps of it."""
    topic_bytes_per_hospital: float
    """Records on both topics, at the end."""
    topic_disk_mib: float
    broker_cpu_percent: float
    """Of one core, at rest."""
    broker_peak_mib: float
    other_cpu_cores: float
    """At rest: what all else took, the hospitals, API server and broker among it."""


@dataclass(frozen=True, slots=True)
class Span:
    """What was used between two moments."""

    seconds: float
    cpu: float
    broker: float
    letters: int
    largest: int
    requests: int
    others: float


@dataclass(slots=True)
class Site:
    """All that runs."""

    folder: Path
    fleet: Fleet
    process: OperatorProcess
    names: Sequence[str]

    async def span(self, seconds: float) -> Span:
        """Look on for so long."""
        await asyncio.to_thread(self.fleet.news, self.names)
        before, requests = self._moment(), await self.fleet.hub.requests()
        await asyncio.sleep(seconds)
        after, asked = self._moment(), await self.fleet.hub.requests() - requests
        sizes = await asyncio.to_thread(self.fleet.news, self.names)
        return Span(
            seconds=after.time - before.time,
            cpu=after.cpu - before.cpu,
            broker=after.broker - before.broker,
            letters=len(sizes),
            largest=max(sizes, default=0),
            requests=asked,
            others=other_cores(before, after),
        )

    def _moment(self) -> Moment:
        return Moment.now(psutil.Process(self.process.pid), self.fleet.kafka.process())


@dataclass(frozen=True, slots=True)
class Joined:
    """How long it took until all were there."""

    admit_seconds: float
    admit_cpu: float
    join_seconds: float
    empty_rss: float


async def join(site: Site, stack: ExitStack, processes: int) -> Joined:
    """Admit all, start all, and wait until the hub knows of all."""
    empty, cpu, began = site.process.rss_mib(), site.process.cpu_seconds(), time.monotonic()
    papers = await site.fleet.admit(site.names)
    admitted, admit_cpu = time.monotonic(), site.process.cpu_seconds() - cpu
    progress(f"{len(papers)} hospitals: admitted after {admitted - began:.0f} s")
    await site.fleet.open_log(papers[0][BUNDLE_FILE])
    for number in range(processes):
        stack.enter_context(members(site, number, papers[number::processes], processes))
    joined = await site.fleet.all_joined(len(papers))
    progress(f"{len(papers)} hospitals: joined after {joined - admitted:.0f} s")
    return Joined(admitted - began, admit_cpu, joined - admitted, empty)


@contextmanager
def members(site: Site, number: int, papers: Sequence[Mapping[str, str]], processes: int) -> Iterator[None]:
    """A process with these hospitals."""
    file = site.folder / f"members-{number}.json"
    denying = {name for place, name in enumerate(site.names) if place % _DENIES == _DENIES - 1}
    told = [{"papers": each, "denies": each["name"] in denying} for each in papers]
    settings = {"names": str(site.fleet.kafka.names), "members": told, "begin": _BEGIN * processes}
    file.write_text(json.dumps(settings | {"roundSeconds": INTERVAL}), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.fleet_members", str(file)]
    guard = Guarded(command, site.folder / f"members-{number}.log", ROOT)
    try:
        yield
    finally:
        guard.kill()
        guard.wait()


@dataclass(frozen=True, slots=True)
class Offered:
    """One job for all."""

    offered_seconds: float
    answered_seconds: float
    cpu: float
    offer_bytes: int


async def offer(site: Site) -> Offered:
    """Offer it, and wait for all answers."""
    count = len(site.names)
    await asyncio.to_thread(site.fleet.news, site.names, topics.offers)
    cpu, began, at = site.process.cpu_seconds(), time.monotonic(), time.time()
    await site.fleet.offer(JOB, count)
    answered = await site.fleet.answered(count, lambda row: row["state"] != "Offered")
    used = site.process.cpu_seconds() - cpu
    letters = await asyncio.to_thread(site.fleet.news, site.names, topics.offers)
    progress(f"{count} hospitals: all have answered after {answered - began:.1f} s")
    last = max(site.fleet.written.get(topics.offers(name), at) for name in site.names)
    return Offered(last - at, answered - began, used, max(letters))


async def look(site: Site, seconds: float, stack: ExitStack, processes: int) -> Figures:
    """The whole story of one number of hospitals."""
    count = len(site.names)
    joined = await join(site, stack, processes)
    await asyncio.sleep(min(_CALM, seconds / 3))
    rest = await site.span(seconds)
    offered = await offer(site)
    await asyncio.sleep(min(_CALM, seconds / 3))
    rounds = await site.span(seconds)
    records, disk = site.fleet.kafka.letters()
    assert await site.fleet.available() == count
    return Figures(
        hospitals=count,
        admit_seconds=round(joined.admit_seconds, 2),
        admit_cpu_ms_per_hospital=round(1000 * joined.admit_cpu / count, 2),
        join_seconds=round(joined.join_seconds, 2),
        rest_cpu_percent=round(100 * rest.cpu / rest.seconds, 2),
        heartbeats_per_second=round(rest.letters / rest.seconds, 2),
        rest_cpu_ms_per_heartbeat=round(1000 * rest.cpu / max(1, rest.letters), 3),
        rest_requests_per_heartbeat=round(rest.requests / max(1, rest.letters), 3),
        offered_seconds=round(offered.offered_seconds, 2),
        answered_seconds=round(offered.answered_seconds, 2),
        offer_cpu_ms_per_hospital=round(1000 * offered.cpu / count, 2),
        rounds_cpu_percent=round(100 * rounds.cpu / rounds.seconds, 2),
        rounds_letters_per_second=round(rounds.letters / rounds.seconds, 2),
        rounds_cpu_ms_per_letter=round(1000 * rounds.cpu / max(1, rounds.letters), 3),
        empty_rss_mib=round(joined.empty_rss, 1),
        rss_mib=round(site.process.rss_mib(), 1),
        peak_mib=round(site.process.peak_mib(), 1),
        offer_bytes=offered.offer_bytes,
        report_bytes=rounds.largest,
        status_bytes=len(json.dumps(await site.fleet.job(JOB))),
        topic_bytes_per_hospital=round(records / count),
        topic_disk_mib=round(disk, 2),
        broker_cpu_percent=round(100 * rest.broker / rest.seconds, 2),
        broker_peak_mib=round(peak_mib(site.fleet.kafka.process().pid), 1),
        other_cpu_cores=round(rest.others, 2),
    )


async def measure(folder: Path, bare: Bare, count: int, seconds: float, processes: int) -> Figures:
    """With everything fresh."""
    settings = {"roles": ["Hub"], "outside": OUTSIDE}
    names = [f"hospital-{number:05}" for number in range(count)]
    async with open_hub(bare) as hub:
        with ExitStack() as stack:
            found = stack.enter_context(fleet(hub, folder))
            await found.prepare()
            process = stack.enter_context(operator(folder, bare.kubeconfig, settings, found.kafka.names))
            await process.ready()
            await process.settled(PATIENCE)
            also_known(found.kafka.names)
            return await look(Site(folder, found, process, names), seconds, stack, processes)


def extrapolated(curve: Sequence[Figures]) -> Mapping[str, float]:
    """What straight lines through the curve say of ten thousand hospitals."""
    figures = (
        "admit_seconds", "rest_cpu_percent", "heartbeats_per_second", "answered_seconds", "rounds_cpu_percent",
        "rss_mib", "peak_mib", "offer_bytes", "status_bytes", "topic_disk_mib", "broker_cpu_percent", "broker_peak_mib",
    )  # fmt: skip
    found = {name: line([(each.hospitals, getattr(each, name)) for each in curve], MANY) for name in figures}
    return {"hospitals": MANY} | {name: round(value, 1) for name, value in found.items()}


def run(options: argparse.Namespace) -> dict[str, object]:
    """From few hospitals to many."""
    curve = list[Figures]()
    for count in sorted(set(options.hospitals)):
        progress(f"{count} hospitals")
        with tempfile.TemporaryDirectory(prefix="consilia-bench-") as scratch, api_server(Path(scratch)) as bare:
            curve.append(asyncio.run(measure(Path(scratch), bare, count, options.seconds, options.processes)))
    said: dict[str, object] = {"curve": [asdict(each) for each in curve]}
    return said | ({"extrapolated": extrapolated(curve)} if len(curve) > 1 else {})


def numbers(text: str) -> list[int]:
    """As in 50,100,200."""
    found = [positive(each) for each in text.split(",")]
    if max(found) > HOSPITALS_AT_MOST:
        raise argparse.ArgumentTypeError(f"{max(found)} hospitals are too many: a job can have {HOSPITALS_AT_MOST}")
    return found


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hospitals", type=numbers, default=[50, 100, 200], help="how many, as in 50,100,200")
    parser.add_argument("--seconds", type=positive, default=60, help="how long each span is looked at")
    parser.add_argument("--processes", type=positive, default=2, help="that the hospitals are spread over")
    parser.add_argument("--json", action="store_true", help="one line, for scripts")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    options = parse()
    try:
        said = run(options)
    except ConsiliaError as error:
        sys.exit(f"error: {error}")
    blocks = {name: value if isinstance(value, list) else [value] for name, value in said.items()}
    print(json.dumps(said) if options.json else as_text(blocks))


if __name__ == "__main__":
    main()
