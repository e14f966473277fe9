"""What the operator costs: many FederatedJobs on a real API server without nodes.

    python -m benchmarks.reconcile --jobs 1000 [--curve 100 300 3000] [--active 200] [--seconds 60] [--json]

The API server and etcd are those that `make cluster` builds; each number of jobs has fresh ones. The operator is its
real process, measured from outside. What each figure means stands in docs/benchmarks.md.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.costs import Moment, other_cores
from benchmarks.hub import HOSPITALS, Hub, Sight, api_server, looked_at, open_hub, there
from benchmarks.operator_process import OperatorProcess, Told, operator, quantile_ms
from benchmarks.options import as_text, natural, positive, progress
from consilia.errors import ConsiliaError
from consilia_operator import kinds
from tests.cluster.bare import Bare

PATIENCE = 900.0
"""After so many seconds a number of jobs is given up."""
RESYNC_SECONDS = 300.0
"""The operator's default."""
OFTEN_SECONDS = 20.0
"""How often everything is looked at anew where the cost of that is measured."""
MANY = 10_000
"""The jobs that the curve is drawn on to."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """From the first creation of a job until the operator has nothing more to do."""

    jobs: int
    create_seconds: float
    """Until the last job was created, 16 at a time."""
    reconciled_seconds: float
    """Until the last was as it should be; creating is part of it."""
    operator_cpu_seconds: float
    operator_cpu_ms_per_job: float
    requests_per_job: float
    """What the operator asked of the API server."""
    looks: int
    """How often an object was looked at."""
    look_ms_p50: float | None
    """Of the looks at FederatedJobs."""
    look_ms_p99: float | None
    errors: int
    """Looks that failed and were repeated."""
    rss_mib: float
    """Of the operator at the end."""
    peak_mib: float
    other_cpu_cores: float
    """What all else took meanwhile: the API server, etcd, this benchmark, and whatever the machine does."""


@dataclass(frozen=True, kw_only=True)
class Restart:
    """An operator that starts where all is done already."""

    jobs: int
    ready_seconds: float
    """From its start to its readiness."""
    settled_seconds: float
    """From its start until all was looked at."""
    operator_cpu_seconds: float
    requests: int
    errors: int
    rss_mib: float
    peak_mib: float


@dataclass(frozen=True, kw_only=True)
class Idle:
    """An operator that has nothing to do."""

    jobs: int
    seconds: float
    """So long it was looked at, twice."""
    quiet_percent: float
    """Of one core, between two resyncs."""
    resync_cpu_seconds: float
    """One resync: everything listed, and looked at anew."""
    idle_percent: float
    """Of one core, with a resync every five minutes, the default."""
    rss_mib: float
    """At the end."""


@dataclass(frozen=True, slots=True)
class Place:
    """An API server, and a folder for files."""

    folder: Path
    bare: Bare


@dataclass(frozen=True, slots=True)
class Site:
    """One operator on one hub."""

    hub: Hub
    process: OperatorProcess


@dataclass(frozen=True, slots=True)
class Before:
    """What stood on the meters."""

    moment: Moment
    requests: int
    time: float

    @classmethod
    async def now(cls, site: Site) -> "Before":
        """Now."""
        requests = await site.hub.requests()
        return cls(Moment.now(psutil.Process(site.process.pid)), requests, time.monotonic())


async def suspended(site: Site, jobs: int) -> Work:
    """Jobs that make no pods: accepted, and put aside."""
    wanted = Sight(site.hub.api, kinds.FEDERATED_JOB, looked_at).seen(jobs, PATIENCE)
    return await _work(site, jobs, [wanted], suspended=True)


async def active(site: Site, jobs: int) -> Work:
    """Jobs with all that they need, trainers of four hospitals and an aggregator each, which no node takes."""
    trainers = Sight(site.hub.api, kinds.JOB, there).seen(jobs * len(HOSPITALS), PATIENCE)
    aggregators = Sight(site.hub.api, kinds.DEPLOYMENT, there).seen(jobs, PATIENCE)
    return await _work(site, jobs, [trainers, aggregators], suspended=False)


async def _work(site: Site, jobs: int, wanted: Sequence[Coroutine[Any, Any, float]], *, suspended: bool) -> Work:
    watching = asyncio.gather(*wanted)
    before = await Before.now(site)
    await site.hub.create_jobs(names(jobs), suspended=suspended)
    created = time.monotonic()
    ended = max(await watching)
    await site.process.settled(PATIENCE)
    after, told = await Before.now(site), await site.process.told()
    cpu = after.moment.cpu - before.moment.cpu
    looks = told.buckets("FederatedJob")
    return Work(
        jobs=jobs,
        create_seconds=round(created - before.time, 2),
        reconciled_seconds=round(ended - before.time, 2),
        operator_cpu_seconds=round(cpu, 2),
        operator_cpu_ms_per_job=round(1000 * cpu / jobs, 2),
        # Each job was created by us.
        requests_per_job=round((after.requests - before.requests - jobs) / jobs, 2),
        looks=int(told.total("consilia_reconcile_duration_seconds_count")),
        look_ms_p50=quantile_ms(looks, 0.5),
        look_ms_p99=quantile_ms(looks, 0.99),
        errors=errors(told),
        rss_mib=round(site.process.rss_mib(), 1),
        peak_mib=round(site.process.peak_mib(), 1),
        other_cpu_cores=round(other_cores(before.moment, after.moment), 2),
    )


def names(jobs: int) -> Iterator[str]:
    """Of so many jobs."""
    return (f"job-{number}" for number in range(1, jobs + 1))


def errors(told: Told) -> int:
    """Looks that failed."""
    return int(told.total("consilia_reconcile_errors_total"))


async def restart(site: Site, jobs: int, began: float) -> Restart:
    """An operator that was started at `began`, as it finds what another has done."""
    requests = await site.hub.requests()
    await site.process.ready()
    ready = time.monotonic()
    settled = await site.process.settled(PATIENCE)
    return Restart(
        jobs=jobs,
        ready_seconds=round(ready - began, 2),
        settled_seconds=round(settled - began, 2),
        operator_cpu_seconds=round(site.process.cpu_seconds(), 2),
        requests=await site.hub.requests() - requests,
        errors=errors(await site.process.told()),
        rss_mib=round(site.process.rss_mib(), 1),
        peak_mib=round(site.process.peak_mib(), 1),
    )


async def share(process: OperatorProcess, seconds: float) -> float:
    """The share of a core that it takes from now on for so long."""
    cpu, began = process.cpu_seconds(), time.monotonic()
    await asyncio.sleep(seconds)
    return (process.cpu_seconds() - cpu) / (time.monotonic() - began)


def idle(jobs: int, seconds: float, quiet: float, often: float, rss_mib: float) -> Idle:
    """From the shares of a core without resyncs and with a resync every `OFTEN_SECONDS`."""
    resync = max(0.0, often - quiet) * OFTEN_SECONDS
    return Idle(
        jobs=jobs,
        seconds=seconds,
        quiet_percent=round(100 * quiet, 3),
        resync_cpu_seconds=round(resync, 3),
        idle_percent=round(100 * (quiet + resync / RESYNC_SECONDS), 3),
        rss_mib=round(rss_mib, 1),
    )


@asynccontextmanager
async def started(place: Place, resync: float = RESYNC_SECONDS) -> AsyncIterator[Site]:
    """An operator, from its start to its end."""
    async with open_hub(place.bare) as hub:
        with operator(place.folder, place.bare.kubeconfig, {"resyncSeconds": resync}) as process:
            yield Site(hub, process)


async def fill(place: Place, jobs: int, work: Callable[[Site, int], Awaitable[Work]]) -> Work:
    """On an empty API server."""
    async with open_hub(place.bare) as hub:
        await hub.settle_down()
    async with started(place) as site:
        await site.process.ready()
        await site.process.settled(PATIENCE)
        return await work(site, jobs)


async def look_after(place: Place, jobs: int, seconds: float) -> tuple[Restart, Idle]:
    """What operators cost where all is done already."""
    began = time.monotonic()
    async with started(place) as site:
        restarted = await restart(site, jobs, began)
        quiet = await share(site.process, seconds)
    async with started(place, OFTEN_SECONDS) as site:
        await site.process.ready()
        await site.process.settled(PATIENCE)
        await asyncio.sleep(OFTEN_SECONDS)
        often = await share(site.process, seconds)
        return restarted, idle(jobs, seconds, quiet, often, site.process.rss_mib())


def line(points: Sequence[tuple[float, float]], at: float) -> float:
    """The straight line that fits the points best (least squares), drawn on to `at`."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    middle, mean = sum(xs) / len(xs), sum(ys) / len(ys)
    width = sum((x - middle) ** 2 for x in xs)
    slope = sum((x - middle) * (y - mean) for x, y in points) / width if width else 0.0
    return mean + slope * (at - middle)


def extrapolated(curve: Sequence[Work]) -> Mapping[str, float]:
    """What the curve says of ten thousand jobs."""
    figures = ("reconciled_seconds", "operator_cpu_seconds", "rss_mib", "peak_mib")
    found = {name: line([(each.jobs, getattr(each, name)) for each in curve], MANY) for name in figures}
    return {"jobs": MANY} | {name: round(value, 1) for name, value in found.items()}


@contextmanager
def fresh() -> Iterator[Place]:
    """An API server that knows nothing yet."""
    with tempfile.TemporaryDirectory(prefix="consilia-bench-") as scratch, api_server(Path(scratch)) as bare:
        yield Place(Path(scratch), bare)


def run(options: argparse.Namespace) -> dict[str, object]:
    """All of it, from few jobs to many."""
    curve, said = list[Work](), dict[str, object]()
    for jobs in sorted({options.jobs, *options.curve}):
        progress(f"{jobs} suspended jobs")
        with fresh() as place:
            curve.append(asyncio.run(fill(place, jobs, suspended)))
            if jobs == options.jobs:
                progress(f"{jobs} suspended jobs: restart and idleness")
                restarted, idleness = asyncio.run(look_after(place, jobs, options.seconds))
                said |= {"restart": asdict(restarted), "idle": asdict(idleness)}
    said["curve"] = [asdict(each) for each in curve]
    if len(curve) > 1:
        said["extrapolated"] = extrapolated(curve)
    if options.active:
        progress(f"{options.active} jobs that are to run")
        with fresh() as place:
            said["active"] = asdict(asyncio.run(fill(place, options.active, active)))
    return said


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconcile", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--jobs", type=positive, default=1000, help="suspended jobs; restart and idleness with them")
    parser.add_argument("--curve", type=positive, nargs="*", default=[], help="other numbers of suspended jobs")
    parser.add_argument("--active", type=natural, default=200, help="jobs that are to run; 0 leaves this out")
    parser.add_argument("--seconds", type=positive, default=60, help="how long idleness is looked at")
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
