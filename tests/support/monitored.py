"""A federation under watch: real programs on this machine, their status ports, and a Prometheus that scrapes them.

`make pictures` runs it as a program to draw docs/images/dashboard-*.png.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus import Prometheus, Target, configuration, running_prometheus
from prometheus_client import CollectorRegistry, start_http_server

from consilia.api import FederatedJob
from consilia.broker.ports import HOST, free_ports
from consilia_operator.budgets import Budgets
from consilia_operator.metrics import Metrics as OperatorMetrics
from consilia_workers.local.folder import AGGREGATOR, SeedFolder
from consilia_workers.local.plan import Plan, make_plan
from consilia_workers.settings import AggregatorSettings, TrainerSettings

ROOT = Path(__file__).parents[2]
NAMESPACE = "research"


@dataclass(frozen=True, slots=True)
class Watched:
    """The running programs."""

    prometheus: Prometheus
    aggregator: subprocess.Popen[bytes]
    trainers: Sequence[subprocess.Popen[bytes]]
    targets: Sequence[Target]
    operator: OperatorMetrics

    def finish(self, seconds: float) -> None:
        """Until all trainers have ended well: the job is over, and the aggregator goes on serving."""
        for trainer in self.trainers:
            assert trainer.wait(seconds) == 0
        assert self.aggregator.poll() is None


@contextmanager
def watched(folder: Path, example: str, *, interval: str, **changes: int | str) -> Iterator[Watched]:
    """The example's job on a SQLite log, as pods would run it; scraped at this interval."""
    plan = make_plan(ROOT / "examples" / example, data=None, seeds=1, baselines=False)
    job = _changed(plan.job, **changes)
    parties = [AGGREGATOR, *plan.hospitals]
    ports = dict(zip(parties, free_ports(len(parties)), strict=True))
    files = _prepared(folder, job, plan, ports)
    with ExitStack() as stack:
        targets = [_target(job, party, port) for party, port in ports.items()]
        operator, place = stack.enter_context(_idle_operator(job, plan.hospitals))
        targets.append(place)
        (folder / "prometheus").mkdir()
        prometheus = stack.enter_context(
            running_prometheus(folder / "prometheus", configuration(targets, interval=interval))
        )
        prometheus.await_series('consilia_build_info{program="operator"}')
        programs = [stack.enter_context(_running(party, files[party])) for party in parties]
        yield Watched(prometheus, programs[0], programs[1:], targets, operator)


def _changed(job: FederatedJob, rounds: int, local_steps: int, learning_rate: str = "0.1") -> FederatedJob:
    document = job.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["spec"]["rounds"]["count"] = rounds
    document["spec"]["training"].pop("localEpochs", None)
    document["spec"]["training"]["localSteps"] = local_steps
    document["spec"]["training"]["optimizer"]["learningRate"] = learning_rate
    return FederatedJob.model_validate(document)


def _prepared(folder: Path, job: FederatedJob, plan: Plan, ports: dict[str, int]) -> dict[str, Path]:
    """Each party's settings file, with its status port."""
    seed = SeedFolder(folder / "job")
    seed.path.mkdir()
    seed.prepare(job, list(plan.sites))
    files = {party: seed.settings(party) for party in ports}
    for party, path in files.items():
        kind = AggregatorSettings if party == AGGREGATOR else TrainerSettings
        kind.load(path).model_copy(update={"status_port": ports[party]}).save(path)
    return files


def _target(job: FederatedJob, party: str, port: int) -> Target:
    """Labelled as a PodMonitor would."""
    of_job = {"namespace": NAMESPACE, "job": job.metadata.name}
    return Target(f"{HOST}:{port}", of_job if party == AGGREGATOR else of_job | {"hospital": party})


@contextmanager
def _idle_operator(job: FederatedJob, hospitals: Sequence[str]) -> Iterator[tuple[OperatorMetrics, Target]]:
    """What an operator exports that has nothing to do. The hospitals set no limit: jobs without privacy need that."""
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    name = job.spec.dataset
    Budgets(registry, lambda: [{"metadata": {"namespace": each, "name": name}, "spec": {}} for each in hospitals])
    metrics.watch_last_event.labels("PodTemplate").set_function(time.time)
    metrics.hub_connected.labels("hub").set(1)
    for hospital in hospitals:
        metrics.hospital_available.labels("hub", hospital).set(1)
    server, thread = start_http_server(0, HOST, registry)
    try:
        yield metrics, Target(f"{HOST}:{server.server_port}", {"namespace": "consilia-system", "job": "operator"})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _running(party: str, settings: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One program, one thread of arithmetic; asked to end with the block."""
    name = "aggregator" if party == AGGREGATOR else "trainer"
    command = [sys.executable, "-m", "consilia_workers", name, str(settings)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (settings.parent / "output.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def main() -> int:
    """Draw the dashboards while four real hospitals' data is trained on."""
    from scripts.dashboards.answers import Span
    from scripts.dashboards.pictures import pictures

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--rounds", type=int, default=100, help="how many rounds to train")
    asked = parser.parse_args()
    rows = frozenset({"Now", "Rounds", "Hospitals", "GPUs", "Budgets", "Refused"})
    with TemporaryDirectory() as folder:
        slowly = {"rounds": asked.rounds, "local_steps": 200, "learning_rate": "0.0003"}
        with watched(Path(folder), "heart-disease.yaml", interval="1s", **slowly) as federation:
            federation.prometheus.await_series("consilia_job_round > 1", 300)
            start = time.time() + 20  # loading PyTorch is no part of the picture
            federation.prometheus.await_series(f"consilia_job_round > {0.9 * asked.rounds}", 900)
            span = Span(start, time.time())
            for path in pictures(federation.prometheus.url, asked.folder, span, window="15s", rows=rows):
                print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
