"""What a round costs: wall time, CPU seconds, peak memory, start-up.

    python -m benchmarks.rounds --log sqlite --model small|large|huge --hospitals 3 --rounds 30 --json

Real processes (aggregator, hospitals) through the product's own programs; only the learning is left out. Medians over
rounds. CPU is that of all our processes, the one that starts them included; the machine's other work is printed beside
it.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from benchmarks.noise import SHAPES
from consilia.api import FederatedJob
from consilia.log import Log
from consilia.log.opening import open_log
from consilia.wire.messages import FromAggregator, RoundClosed
from consilia_workers.local.federation import start_parties
from consilia_workers.local.folder import SeedFolder
from consilia_workers.local.processes import Processes
from consilia_workers.local.site import Site
from consilia_workers.local.watching import Watch


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run, as one JSON line."""

    log: str
    model: str
    hospitals: int
    rounds: int
    wall_seconds_per_round: float
    """Median over rounds, from closing to closing."""
    wall_seconds_worst: float
    cpu_seconds_per_round: float
    aggregator_peak_mib: float
    hospital_peak_mib: float
    start_seconds: float
    """From the first process to the opening of round 1."""
    other_cpu_cores: float
    """What the machine's other work took meanwhile; near 0 on a quiet machine."""


def job_for(model: str, hospitals: list[str], rounds: int) -> FederatedJob:
    """A job whose task is noise."""
    return FederatedJob.model_validate({
        "apiVersion": "consilia.dev/v1alpha1",
        "kind": "FederatedJob",
        "metadata": {"name": f"noise-{model}"},
        "spec": {
            "task": {"entrypoint": "benchmarks.noise:Noise", "parameters": {"model": model}},
            "dataset": "none",
            "hospitals": {"names": hospitals, "minReady": len(hospitals), "minUpdates": len(hospitals)},
            "rounds": {"count": rounds},
            "evaluation": {"everyRounds": 0},
        },
    })  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Costs up to one moment."""

    time: float
    """Seconds since the epoch."""
    cpu: float
    """Of all our processes together, in seconds."""
    machine: float
    """Of everything on the machine, in seconds."""
    peaks: Mapping[str, float]
    """Peak resident memory by process, in MiB."""


class Costs:
    """CPU seconds and peak memory of the processes of a run."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        own = psutil.Process()
        self._pids = pids
        self._all = [own, *own.children(recursive=True)]

    def now(self) -> Snapshot:
        """Up to this moment."""
        machine = psutil.cpu_times()
        return Snapshot(
            time=time.time(),
            cpu=sum(process.cpu_times().user + process.cpu_times().system for process in self._all),
            machine=machine.user + machine.system + machine.nice,
            peaks={name: _peak(pid) for name, pid in self._pids.items()},
        )


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def measure(log_kind: str, model: str, hospitals: int, rounds: int, folder: Path) -> Measurement:
    """Run once."""
    names = [f"hospital-{number}" for number in range(1, hospitals + 1)]
    job, seed = job_for(model, names, rounds), SeedFolder(folder)
    sites = [Site(hospital=name, path=None, parameters={}) for name in names]
    started = time.time()
    with Processes("benchmarks.noise", folder / "nursery.log") as processes:
        roster = seed.prepare(job, sites)
        with closing(open_log(seed.log)) as log:
            watch = Watch(log, job.metadata.name, roster.aggregator)
            start_parties(processes, seed, names)
            return _observe(log_kind, model, rounds, log, watch, processes, started)


def _observe(
    log_kind: str, model: str, rounds: int, log: Log, watch: Watch, processes: Processes, started: float
) -> Measurement:
    """Follow the run: costs from the first closed round to the last, so that starting up is not part of a round."""
    closings: list[float] = []
    first: Snapshot | None = None
    for message, timestamp in _messages(log, watch, processes):
        if isinstance(message, RoundClosed):
            closings.append(timestamp)
            if first is None:
                costs = Costs(processes.pids())
                first, counted_from = costs.now(), len(closings)
            last = costs.now()
    gaps = [late - early for early, late in pairwise(closings)]
    assert first is not None
    aggregator, *hospitals = [last.peaks[name] for name in sorted(last.peaks)]
    seconds, cpu = last.time - first.time, last.cpu - first.cpu
    return Measurement(
        log=log_kind,
        model=model,
        hospitals=len(hospitals),
        rounds=rounds,
        wall_seconds_per_round=round(statistics.median(gaps), 4),
        wall_seconds_worst=round(max(gaps), 4),
        cpu_seconds_per_round=round(cpu / (len(closings) - counted_from), 4),
        aggregator_peak_mib=round(aggregator, 1),
        hospital_peak_mib=round(max(hospitals), 1),
        start_seconds=round((watch.first_opened or 0.0) - started, 2),
        other_cpu_cores=round(max(last.machine - first.machine - cpu, 0.0) / seconds, 2),
    )


def _messages(log: Log, watch: Watch, processes: Processes) -> Iterator[tuple[FromAggregator, float]]:
    """The aggregator's messages as they come, and a look at the processes now and then."""
    while watch.finished is None:
        log.wait({watch.topic: watch.offset}, 1.0)
        for ended in processes.poll(0):
            if ended.code:
                sys.exit(f"{ended.name} ended with code {ended.code}")
        for heard in watch.news():
            yield heard.message, heard.timestamp


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounds", description=__doc__)
    parser.add_argument("--log", choices=["sqlite"], default="sqlite")
    parser.add_argument("--model", choices=list(SHAPES), default="small")
    parser.add_argument("--hospitals", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true", help="one line, for scripts")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure once and print."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="consilia-bench-") as folder:
        measured = measure(options.log, options.model, options.hospitals, options.rounds, Path(folder))
    if options.json:
        print(json.dumps(asdict(measured)))
        return
    for name, value in asdict(measured).items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
