"""What a round costs: wall time, CPU seconds, peak memory, start-up; other frameworks beside it if wanted.

    python -m benchmarks.rounds --log kafka sqlite --model small|large|huge --rounds 30 [--repeats 3] [--peers DIR]

Real processes (aggregator, hospitals) through the product's own programs; only the learning is left out. Over Kafka,
each run has a fresh broker that has served another job before, unless it is given a cluster that runs already. What
each figure means stands in docs/benchmarks.md.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import uuid4

import psutil

from benchmarks.costs import Disk, Moment, Peaks, other_cores
from benchmarks.logs import BROKER, NAMES, SQLITE, Place, add_options, serving
from benchmarks.noise import SHAPES
from benchmarks.options import as_text, natural, positive, progress
from benchmarks.peers import HOME, MODELS, Peer, PeerMeasurement, find_peers
from benchmarks.repeats import together
from consilia.api import FederatedJob
from consilia.errors import ConsiliaError, RunError
from consilia.log import Log, topics
from consilia.log.opening import open_log
from consilia.wire.messages import RoundClosed, RoundOpened
from consilia_workers.local.federation import start_parties
from consilia_workers.local.folder import AGGREGATOR, SeedFolder
from consilia_workers.local.processes import Processes
from consilia_workers.local.site import Site
from consilia_workers.local.watching import Heard, Watch


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run, or the medians over repeats."""

    log: str
    model: str
    hospitals: int
    rounds: int
    wall_seconds_per_round: float
    """Median over all rounds: the first from its opening, the others from closing to closing."""
    wall_seconds_mean: float
    wall_seconds_worst: float
    cpu_seconds_per_round: float
    """Mean over rounds, of all our processes: aggregator, hospitals, and those that started them and look on."""
    broker_cpu_seconds_per_round: float | None
    """None where it is not known, since the broker was not started here; 0 where there is none."""
    cpu_seconds_per_round_with_broker: float | None
    broker_peak_mib: float | None
    aggregator_peak_mib: float
    hospital_peak_mib: float
    """The hospital with the most."""
    start_seconds: float
    """From the first process to the opening of round 1; a broker runs already."""
    disk_peak_mib: float
    """The most that was held, looked at every quarter of a second: the log, and what each party keeps."""
    other_cpu_cores: float
    """What the machine's other work took meanwhile; near 0 on a quiet machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be run."""

    log: str
    model: str
    hospitals: int
    rounds: int
    kafka: str | None = None
    """A cluster that runs already, as host:port."""
    warm_up: int = 0
    """So many rounds of another job come before, on Kafka."""

    def names(self) -> list[str]:
        """The hospitals."""
        return [f"hospital-{number}" for number in range(1, self.hospitals + 1)]


@dataclass(frozen=True, kw_only=True)
class Course:
    """What was seen of a run."""

    opened: float
    """When round 1 was opened, in seconds since the epoch."""
    closings: list[float]
    """When each round was closed."""
    first: Moment
    last: Moment
    peaks: dict[str, float]
    disk_peak: float
    """In MiB."""

    def walls(self) -> list[float]:
        """Seconds of each round."""
        return [late - early for early, late in zip([self.opened, *self.closings], self.closings, strict=False)]


def job_for(wanted: Wanted) -> FederatedJob:
    """A job whose task is noise, with a name on the log that no other has."""
    return FederatedJob.model_validate({
        "apiVersion": "consilia.dev/v1alpha1",
        "kind": "FederatedJob",
        "metadata": {"name": f"noise-{wanted.model}", "uid": str(uuid4())},
        "spec": {
            "task": {"entrypoint": "benchmarks.noise:Noise", "parameters": {"model": wanted.model}},
            "dataset": "none",
            "hospitals": {
                "names": wanted.names(), "minReady": wanted.hospitals, "minUpdates": wanted.hospitals,
            },
            "rounds": {"count": wanted.rounds},
            "evaluation": {"everyRounds": 0},
        },
    })  # fmt: skip


def measure(wanted: Wanted) -> Measurement:
    """Run once, in a temporary folder, on a log of its own unless a cluster is given.

    Raises:
        RunError: the job did not succeed.
        BrokerError: the broker does not start.
    """
    with tempfile.TemporaryDirectory(prefix="consilia-bench-") as scratch:
        folder = Path(scratch)
        with serving(wanted.log, wanted.kafka, folder) as place:
            if wanted.warm_up and wanted.log != SQLITE:
                _run(replace(wanted, rounds=wanted.warm_up), place, folder, "warm-up")
            return _run(wanted, place, folder, "run")


def _run(wanted: Wanted, place: Place, folder: Path, name: str) -> Measurement:
    """One job, in a folder of its name. What the log keeps lies in the folder around it, unless it is elsewhere."""
    own, started, job = SeedFolder(folder / name, place.url), time.time(), job_for(wanted)
    own.path.mkdir()
    disk = Disk(folder)
    with Processes("benchmarks.noise", own.path / "nursery.log") as processes:
        sites = [Site(hospital=name, path=None, parameters={}) for name in wanted.names()]
        roster = own.prepare(job, sites)
        with closing(open_log(own.log)) as log:
            watch = Watch(log, job.log_name, roster.aggregator)
            start_parties(processes, own, wanted.names())
            course = _observe(_heard(log, watch, processes, place), processes, place, disk)
    _clear(own.log, job.log_name)
    return _figures(wanted, course, started)


def _clear(url: str, job: str) -> None:
    """A cluster that others use is left as it was; the disk of a broker of ours is for the next run."""
    with closing(open_log(url)) as log:
        for topic in topics.of_job(job, log.topics()):
            log.delete_topic(topic)


def _observe(heard: Iterator[Heard | None], processes: Processes, place: Place, disk: Disk) -> Course:
    """Follow the run to its end: costs from the opening of round 1, so that starting up is not part of a round."""
    own, peaks, closings, opened = psutil.Process(), Peaks(), list[float](), 0.0
    first = last = Moment.now(own, place.broker)
    for news in heard:
        match news:
            case Heard(message=RoundOpened(round=1), timestamp=opened):
                first = Moment.now(own, place.broker, less=disk.spent)
            case Heard(message=RoundClosed(), timestamp=closed):
                closings.append(closed)
                last = Moment.now(own, place.broker, less=disk.spent)
                peaks.note({**processes.pids(), **place.pids()})
        disk.note(processes.pids().values())
    disk.look()
    return Course(opened=opened, closings=closings, first=first, last=last, peaks=peaks.mib, disk_peak=disk.peak_mib)


def _heard(log: Log, watch: Watch, processes: Processes, place: Place) -> Iterator[Heard | None]:
    """The aggregator's messages as they come; None where a quarter of a second went by without one.

    Raises:
        RunError: a process gave up, the broker has died, or the job failed.
    """
    while watch.finished is None:
        place.check()
        if not log.wait({watch.topic: watch.offset}, 0.25):
            yield None
        for ended in processes.poll(0):
            if ended.code:
                raise RunError(f"{ended.name} ended with code {ended.code}.")
        yield from watch.news()
    if watch.finished.outcome != "Succeeded":
        raise RunError(f"the job failed: {watch.finished.reason} {watch.finished.message}")


def _figures(wanted: Wanted, course: Course, started: float) -> Measurement:
    walls = course.walls()
    own = (course.last.cpu - course.first.cpu) / len(walls)
    brokers = (course.last.broker - course.first.broker) / len(walls)
    known = BROKER in course.peaks or wanted.log == SQLITE
    return Measurement(
        log=wanted.log,
        model=wanted.model,
        hospitals=wanted.hospitals,
        rounds=len(walls),
        wall_seconds_per_round=round(statistics.median(walls), 4),
        wall_seconds_mean=round(statistics.fmean(walls), 4),
        wall_seconds_worst=round(max(walls), 4),
        cpu_seconds_per_round=round(own, 4),
        broker_cpu_seconds_per_round=round(brokers, 4) if known else None,
        cpu_seconds_per_round_with_broker=round(own + brokers, 4) if known else None,
        aggregator_peak_mib=round(course.peaks[AGGREGATOR], 1),
        hospital_peak_mib=round(max(course.peaks[name] for name in wanted.names()), 1),
        broker_peak_mib=round(course.peaks.get(BROKER, 0.0), 1) if known else None,
        start_seconds=round(course.opened - started, 2),
        disk_peak_mib=round(course.disk_peak, 1),
        other_cpu_cores=round(other_cores(course.first, course.last), 2),
    )


def compare(wanted: Sequence[Wanted], repeats: int, peers: Sequence[Peer], peer_rounds: int) -> dict[str, object]:
    """Ours on each log and the peers in turn, `repeats` times: what the JSON line says."""
    ours: dict[Wanted, list[Measurement]] = {each: [] for each in wanted}
    theirs: dict[Peer, list[PeerMeasurement]] = {peer: [] for peer in peers}
    for number in range(1, repeats + 1):
        for each, runs in ours.items():
            progress(f"{each.model}, {number} of {repeats}: Consilia {NAMES[each.log]}")
            runs.append(measure(each))
        for peer, measured in theirs.items():
            progress(f"{wanted[0].model}, {number} of {repeats}: {peer.name}")
            measured.append(peer.measure(wanted[0].model, peer_rounds, wanted[0].hospitals))
    middle = [together(runs) for runs in ours.values()]
    said: dict[str, object] = {"repeats": repeats, "ours": [asdict(each) for each in middle]}
    return said | ({"peers": [_beside(middle[0], together(runs)) for runs in theirs.values()]} if peers else {})


def _beside(ours: Measurement, peer: PeerMeasurement) -> dict[str, object]:
    """The peer's figures, and how many times ours they are: those of the first log, the broker's share included."""
    names = {name: name for name in ("wall_seconds_mean", "aggregator_peak_mib", "hospital_peak_mib", "start_seconds")}
    names["cpu_seconds_per_round"] = "cpu_seconds_per_round_with_broker"
    known = {theirs: value for theirs, own in names.items() if (value := getattr(ours, own)) is not None}
    return {**asdict(peer), "times_ours": {name: round(getattr(peer, name) / own, 2) for name, own in known.items()}}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounds", description=(__doc__ or "").split("\n")[0])
    add_options(parser)
    parser.add_argument(
        "--model", choices=list(SHAPES), default="small", help="19,608, 25 million, 250 million numbers"
    )
    parser.add_argument("--hospitals", type=positive, default=3)
    parser.add_argument("--rounds", type=positive, default=30)
    parser.add_argument("--repeats", type=positive, default=1, help="medians over so many runs")
    parser.add_argument("--warm-up", type=natural, default=2, help="rounds of another job before, on Kafka")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="run NVFlare and Flower beside, by the scripts there")
    parser.add_argument("--peer-rounds", type=positive, help="rounds of a peer's run; as many as ours, at most 10")
    parser.add_argument("--json", action="store_true", help="one line, for scripts")
    options = parser.parse_args(arguments)
    if options.peers and options.model not in MODELS:
        parser.error(f"the peers' scripts know no model called {options.model}; leave --peers out")
    return options


def main() -> None:
    """Measure and print."""
    options = parse()
    try:
        peers = find_peers(options.peers, os.environ.get(HOME)) if options.peers else []
        said = compare(runs(options), options.repeats, peers, options.peer_rounds or min(options.rounds, 10))
    except ConsiliaError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(said) if options.json else as_text(said))


def runs(options: argparse.Namespace) -> list[Wanted]:
    """One for each log."""
    return [
        Wanted(
            log=log,
            model=options.model,
            hospitals=options.hospitals,
            rounds=options.rounds,
            kafka=options.kafka,
            warm_up=options.warm_up,
        )
        for log in dict.fromkeys(options.log)
    ]


if __name__ == "__main__":
    main()
