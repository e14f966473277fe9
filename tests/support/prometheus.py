"""A real Prometheus on loopback: started, told what to scrape, asked; and every panel of a dashboard asked of it."""

import json
import math
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from needed import missing

from consilia.broker.ports import free_ports

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "consilia"
RULES = CHART / "rules" / "consilia.yaml"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
SUBSTITUTIONS = {
    "$__rate_interval": "5s",
    "$__range": "10m",
    "$window": "30s",
    "$namespace": ".*",
    "$job": ".*",
    "$hospital": ".*",
}
"""What a reader who chose everything would ask for, on a machine where seconds matter."""


def program(name: str) -> str:
    """The path of prometheus or promtool: on the path, or where scripts/install-prometheus puts it."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    return found or missing(f"no {name}: run scripts/install-prometheus .venv, or install Debian's package prometheus")


@dataclass(frozen=True, slots=True)
class Target:
    """Something that serves /metrics, and the labels that a PodMonitor would give its series."""

    address: str
    """host:port."""
    labels: Mapping[str, str]


_FROM_POD = {"consilia.dev/job": "job", "consilia.dev/job-namespace": "namespace", "consilia.dev/hospital": "hospital"}


def pod_targets(pods: Iterable[Mapping[str, Any]]) -> list[Target]:
    """Those of our pods that serve metrics, as documents of a cluster: by IP, labelled as the chart's monitors do."""
    found = []
    for pod in pods:
        metadata, ports = pod["metadata"], [p for c in pod["spec"]["containers"] for p in c.get("ports", ())]
        served = [port["containerPort"] for port in ports if port.get("name") in {"status", "http"}]
        own = {name: metadata["labels"][label] for label, name in _FROM_POD.items() if label in metadata["labels"]}
        if served and (address := pod.get("status", {}).get("podIP")):
            labels = {"namespace": metadata["namespace"], "job": "consilia-operator", "pod": metadata["name"], **own}
            found.append(Target(f"{address}:{served[0]}", labels))
    return found


def configuration(targets: Sequence[Target], *, interval: str = "1s", rules: Path | None = RULES) -> dict[str, Any]:
    """prometheus.yml: each target scraped under its labels. The programs' own labels win, as with `honorLabels`."""
    scraped = {
        "job_name": "consilia",
        "honor_labels": True,
        "static_configs": [{"targets": [target.address], "labels": dict(target.labels)} for target in targets],
    }
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(rules)] if rules else [],
        "scrape_configs": [scraped],
    }


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running one."""

    url: str

    def ask(self, path: str, **parameters: str | float) -> Any:
        """What its HTTP API answers; an error of its own is raised with its words."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def now(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has at this moment."""
        return self.ask("query", query=expression)["result"]

    def history(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series that it had between two moments, in seconds since 1970."""
        return self.ask("query_range", query=expression, start=start, end=end, step=step)["result"]

    def await_series(self, expression: str, seconds: float = 30) -> list[dict[str, Any]]:
        """Its series as soon as it has any."""
        end = time.monotonic() + seconds
        while not (found := self.now(expression)):
            assert time.monotonic() < end, f"no series within {seconds} s: {expression}"
            time.sleep(0.1)
        return found


@contextmanager
def running_prometheus(folder: Path, settings: Mapping[str, Any]) -> Iterator[Prometheus]:
    """A Prometheus of this configuration, its data below `folder`, ended with the block."""
    (port,) = free_ports(1)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(dict(settings)))
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "tsdb",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "warn",
    }
    command = [program("prometheus"), *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "prometheus.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        served = Prometheus(f"http://127.0.0.1:{port}")
        _await_ready(served, process, folder / "prometheus.log")
        yield served
    finally:
        process.terminate()
        process.wait(30)


def _await_ready(served: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"{served.url}/-/ready", timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"Prometheus does not get ready: {log.read_text()}")


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of one panel, as the dashboard's file has it."""

    dashboard: str
    panel: str
    expression: str
    instant: bool

    def substituted(self, substitutions: Mapping[str, str]) -> str:
        """With values in the place of variables; the longest names first, for one may begin another."""
        text = self.expression
        for name in sorted(substitutions, key=len, reverse=True):
            text = text.replace(name, substitutions[name])
        assert "$" not in text, f"{self.panel}: no value for a variable in {text}"
        return text


def panel_queries(files: Sequence[Path] = tuple(DASHBOARDS)) -> list[Asked]:
    """Every query of every panel in the dashboards' files."""
    return [
        Asked(whole["title"], panel["title"], target["expr"], target["instant"])
        for whole in (json.loads(path.read_text(encoding="utf-8")) for path in files)
        for panel in whole["panels"]
        for target in panel.get("targets", ())
    ]


def run_all_panels(
    url: str, substitutions: Mapping[str, str] = SUBSTITUTIONS, *, seconds: float = 600
) -> dict[tuple[str, str, str], int]:
    """Ask that Prometheus for every panel of every dashboard, as Grafana would for the last `seconds`.

    Gives the number of series with a value by (dashboard, panel, expression): 0 where the panel would read "No data".
    """
    served, end = Prometheus(url), time.time()
    counts = {}
    for asked in panel_queries():
        text = asked.substituted(substitutions)
        series = (
            served.now(text) if asked.instant else served.history(text, end - seconds, end, max(1.0, seconds / 250))
        )
        counts[asked.dashboard, asked.panel, asked.expression] = sum(map(_has_value, series))
    return counts


def _has_value(series: Mapping[str, Any]) -> bool:
    pairs = series["values"] if "values" in series else [series["value"]]
    return any(not math.isnan(float(value)) for _, value in pairs)


def metrics_named(expression: str) -> set[str]:
    """Our metrics that an expression names, as they are registered: without the histograms' and recordings' endings."""
    names = re.findall(r"(?<![\w:])consilia_\w+", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
