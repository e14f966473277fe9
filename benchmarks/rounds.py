"""What a round costs: wall time, CPU seconds, peak memory, start-up; other frameworks beside it if wanted.

    python -m benchmarks.rounds --model small|large|huge --hospitals 3 --rounds 30 [--repeats 3] [--peers DIR] [--json]

Real processes (aggregator, hospitals) through the product's own programs; only the learning is left out. What each
figure means stands in docs/benchmarks.md.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.costs import Disk, Moment, Peaks, other_cores
from benchmarks.noise import SHAPES
from benchmarks.options import positive, progress
from benchmarks.peers import HOME, MODELS, Peer, PeerMeasurement, find_peers
from benchmarks.repeats import together
from consilia.api import FederatedJob
from consilia.errors import ConsiliaError, RunError
from consilia.log import Log
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
    aggregator_peak_mib: float
    hospital_peak_mib: float
    """The hospital with the most."""
    start_seconds: float
    """From the first process to the opening of round 1."""
    disk_peak_mib: float
    """The most that the run's folder held, looked at every quarter of a second: the log, and what each party keeps."""
    other_cpu_cores: float
    """What the machine's other work took meanwhile; near 0 on a quiet machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be run."""

    log: str
    model: str
    hospitals: int
    rounds: int

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
    """A job whose task is noise."""
    return FederatedJob.model_validate({
        "apiVersion": "consilia.dev/v1alpha1",
        "kind": "FederatedJob",
        "metadata": {"name": f"noise-{wanted.model}"},
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
    """Run once, in a temporary folder.

    Raises:
        RunError: the job did not succeed.
    """
    with tempfile.TemporaryDirectory(prefix="consilia-bench-") as scratch:
        folder, started = SeedFolder(Path(scratch)), time.time()
        with Processes("benchmarks.noise", folder.path / "nursery.log") as processes:
            sites = [Site(hospital=name, path=None, parameters={}) for name in wanted.names()]
            roster = folder.prepare(job_for(wanted), sites)
            with closing(open_log(folder.log)) as log:
                watch = Watch(log, f"noise-{wanted.model}", roster.aggregator)
                start_parties(processes, folder, wanted.names())
                course = _observe(_heard(log, watch, processes), processes, folder.path, wanted.rounds)
        return _figures(wanted, course, started)


def _observe(heard: Iterator[Heard | None], processes: Processes, folder: Path, rounds: int) -> Course:
    """Follow the run to its end: costs from the opening of round 1, so that starting up is not part of a round."""
    own, peaks, disk = psutil.Process(), Peaks(), Disk(folder)
    moments, closings, opened = list[Moment](), list[float](), 0.0
    for news in heard:
        match news:
            case Heard(message=RoundOpened(round=1), timestamp=opened):
                moments.append(Moment.now(own))
            case Heard(message=RoundClosed(round=number), timestamp=closed):
                closings.append(closed)
                peaks.note(processes.pids())
                if number == rounds:
                    moments.append(Moment.now(own))
        disk.note()
    disk.look()
    first, last = moments
    return Course(opened=opened, closings=closings, first=first, last=last, peaks=peaks.mib, disk_peak=disk.peak_mib)


def _heard(log: Log, watch: Watch, processes: Processes) -> Iterator[Heard | None]:
    """The aggregator's messages as they come; None where a quarter of a second went by without one.

    Raises:
        RunError: a process gave up, or the job failed.
    """
    while watch.finished is None:
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
    return Measurement(
        log=wanted.log,
        model=wanted.model,
        hospitals=wanted.hospitals,
        rounds=len(walls),
        wall_seconds_per_round=round(statistics.median(walls), 4),
        wall_seconds_mean=round(statistics.fmean(walls), 4),
        wall_seconds_worst=round(max(walls), 4),
        cpu_seconds_per_round=round((course.last.cpu - course.first.cpu) / len(walls), 4),
        aggregator_peak_mib=round(course.peaks[AGGREGATOR], 1),
        hospital_peak_mib=round(max(course.peaks[name] for name in wanted.names()), 1),
        start_seconds=round(course.opened - started, 2),
        disk_peak_mib=round(course.disk_peak, 1),
        other_cpu_cores=round(other_cores(course.first, course.last), 2),
    )


def compare(wanted: Wanted, repeats: int, peers: Sequence[Peer], peer_rounds: int) -> dict[str, object]:
    """Ours and the peers in turn, `repeats` times: what the JSON line says."""
    ours: list[Measurement] = []
    theirs: dict[Peer, list[PeerMeasurement]] = {peer: [] for peer in peers}
    for number in range(1, repeats + 1):
        progress(f"{wanted.model}, {number} of {repeats}: Consilia")
        ours.append(measure(wanted))
        for peer, runs in theirs.items():
            progress(f"{wanted.model}, {number} of {repeats}: {peer.name}")
            runs.append(peer.measure(wanted.model, peer_rounds, wanted.hospitals))
    middle = together(ours)
    said: dict[str, object] = {**asdict(middle), "repeats": repeats}
    return said | ({"peers": [_beside(middle, together(runs)) for runs in theirs.values()]} if peers else {})


def _beside(ours: Measurement, peer: PeerMeasurement) -> dict[str, object]:
    """The peer's figures, and how many times ours they are."""
    names = ("wall_seconds_mean", "cpu_seconds_per_round", "aggregator_peak_mib", "hospital_peak_mib", "start_seconds")
    return {**asdict(peer), "times_ours": {name: round(getattr(peer, name) / getattr(ours, name), 2) for name in names}}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounds", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--log", choices=["sqlite"], default="sqlite")
    parser.add_argument(
        "--model", choices=list(SHAPES), default="small", help="19,608, 25 million, 250 million numbers"
    )
    parser.add_argument("--hospitals", type=positive, default=3)
    parser.add_argument("--rounds", type=positive, default=30)
    parser.add_argument("--repeats", type=positive, default=1, help="medians over so many runs")
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
    wanted = Wanted(log=options.log, model=options.model, hospitals=options.hospitals, rounds=options.rounds)
    try:
        peers = find_peers(options.peers, os.environ.get(HOME)) if options.peers else []
        said = compare(wanted, options.repeats, peers, options.peer_rounds or min(options.rounds, 10))
    except ConsiliaError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(said) if options.json else _as_text(said))


def _as_text(said: Mapping[str, object]) -> str:
    return "\n".join(f"{name:24} {value}" for name, value in said.items())


if __name__ == "__main__":
    main()
