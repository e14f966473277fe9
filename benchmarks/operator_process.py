"""The operator as its real process, seen from outside: how it is started, what it costs, what it tells Prometheus."""

import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.costs import peak_mib
from consilia.broker.guarded import Guarded
from consilia.broker.ports import HOST, free_ports
from consilia.errors import RunError

ROOT = Path(__file__).parents[1]
NAMESPACE = "consilia-system"
START_SECONDS = 120.0
_LOOKS = "consilia_reconcile_duration_seconds"
_SETTLED = 2.0
"""So long nothing may be in the queue, in seconds."""


@dataclass(frozen=True, slots=True)
class Told:
    """One answer of /metrics: values by name and labels."""

    values: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def read(cls, text: str) -> "Told":
        """From Prometheus' text."""
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return cls({(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples})

    def total(self, name: str) -> float:
        """Over all labels."""
        return sum(value for (each, _), value in self.values.items() if each == name)

    def buckets(self, kind: str) -> dict[float, float]:
        """Of the looks at objects of this kind: how many took so long at most."""
        found = {}
        for (name, labels), value in self.values.items():
            named = dict(labels)
            if name == f"{_LOOKS}_bucket" and named["kind"] == kind:
                found[float(named["le"])] = value
        return dict(sorted(found.items()))


def quantile_ms(buckets: Mapping[float, float], share: float) -> float | None:
    """As Prometheus reckons it: straight lines within a bucket; None where nothing was counted."""
    total = max(buckets.values(), default=0.0)
    below, lower = 0.0, 0.0
    for upper, count in buckets.items():
        if total and count >= share * total:
            if upper == float("inf"):
                return 1000 * lower
            return 1000 * (lower + (upper - lower) * (share * total - below) / (count - below))
        below, lower = count, upper
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorProcess:
    """One that runs."""

    pid: int
    port: int
    guard: Guarded
    log: Path

    def cpu_seconds(self) -> float:
        """Since its start."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def rss_mib(self) -> float:
        """Now."""
        return float(psutil.Process(self.pid).memory_info().rss) / 2**20

    def peak_mib(self) -> float:
        """The most since its start."""
        return peak_mib(self.pid)

    async def told(self) -> Told:
        """What /metrics says now."""
        return Told.read(await asyncio.to_thread(self._ask, "/metrics"))

    async def ready(self) -> None:
        """Wait until it is at work.

        Raises:
            RunError: it ended, or is not after two minutes.
        """
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                await asyncio.to_thread(self._ask, "/readyz")
            except OSError:
                self._check(end, "is not ready")
                await asyncio.sleep(0.05)
            else:
                return

    async def settled(self, seconds: float) -> float:
        """Wait until its queue is empty and stays so; the monotonic time at which it became so.

        Raises:
            RunError: it ended, or it is still at work after so many seconds.
        """
        end, since = time.monotonic() + seconds, time.monotonic()
        while time.monotonic() - since < _SETTLED:
            await asyncio.sleep(0.25)
            if (await self.told()).total("consilia_queue_depth"):
                since = time.monotonic()
                self._check(end, "is not done")
        return since

    def _check(self, end: float, what: str) -> None:
        if not self.guard.running() or time.monotonic() > end:
            raise RunError(f"the operator {what}: {self.log.read_text(encoding='utf-8')[-2000:]}")

    def _ask(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=30) as response:
            assert response.status == HTTPStatus.OK
            return str(response.read().decode())


@contextmanager
def operator(
    folder: Path, kubeconfig: Path, settings: Mapping[str, object], names: Path | None = None
) -> Iterator[OperatorProcess]:
    """Within the block it runs with these settings, and ends as a pod does: by SIGTERM.

    It also knows the names in that file: see `benchmarks.named`.
    """
    (port,) = free_ports(1)
    images = {"worker": "localhost/consilia-worker:none", "kafka": "localhost/consilia-kafka:none"}
    file = folder / "operator.json"
    file.write_text(json.dumps({"images": images, "metricsPort": port, **settings}))
    environment = {"KUBECONFIG": str(kubeconfig), "POD_NAMESPACE": NAMESPACE, "POD_NAME": "consilia-operator-0"}
    environment["PYTHONDONTWRITEBYTECODE"] = ""  # what its image brings along is compiled once, and kept
    command = ["env", *(f"{name}={value}" for name, value in environment.items())]
    module = ["benchmarks.named", str(names), "consilia_operator"] if names else ["consilia_operator"]
    command += [sys.executable, "-m", *module, "--settings", str(file)]
    guard = Guarded(command, folder / "operator.log", ROOT)
    try:
        yield OperatorProcess(pid=guard.pid, port=port, guard=guard, log=folder / "operator.log")
    finally:
        guard.ask_to_end()
        guard.wait()
