"""docs/reference/metrics.md: every metric of every program, from the definitions themselves."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from consilia.errors import LedgerError
from consilia.wire.identity import Identity
from consilia_operator.budgets import Budgets
from consilia_operator.metrics import Metrics as OperatorMetrics
from consilia_workers.ledger_service import Desk, Figures
from consilia_workers.status import aggregator_metrics, trainer_metrics
from scripts.pages.markdown import page, table

INTRODUCTION = """\
Aggregator and trainers serve these at `/metrics` on their status port, which they have in a cluster, ledger and
operator on their own. Each metric but `consilia_build_info` comes from exactly one program. Seconds and bytes
throughout; no label grows with the rounds; a series goes with its pod, and counters begin anew with it, as Prometheus
expects.

The label `job` is the FederatedJob's name. Prometheus has a label of that name too: scrape with `honorLabels: true`, as
the chart's PodMonitors do. Beside these, every program tells the usual `process_*` figures about itself: CPU, memory,
open files. How busy a GPU is, NVIDIA's own exporter (DCGM) tells."""


def _operator(registry: CollectorRegistry) -> None:
    OperatorMetrics(registry)
    Budgets(registry, list)


def _ledger(registry: CollectorRegistry) -> None:
    nothing = LedgerError("")
    Figures(registry, "", nothing)  # type: ignore[arg-type] (it is looked at when somebody asks, which nobody does)
    Desk(Identity.generate("ledger"), nothing, registry)


PROGRAMS: tuple[tuple[str, Callable[[CollectorRegistry], object]], ...] = (
    ("Aggregator", aggregator_metrics.Metrics),
    ("Trainer", trainer_metrics.Metrics),
    ("Ledger", _ledger),
    ("Operator", _operator),
)
"""Each program, and what registers its metrics. Add yours here."""


def metrics_page() -> str:
    """The page."""
    return page("# Metrics", INTRODUCTION, *(part for title, define in PROGRAMS for part in _section(title, define)))


def collectors(define: Callable[[CollectorRegistry], object]) -> Sequence[Collector]:
    """What a program registers, in the order of its definitions."""
    registry = CollectorRegistry(auto_describe=True)
    define(registry)
    return list(registry._collector_to_names)  # noqa: SLF001 (prometheus_client lists them nowhere else)


def _section(title: str, define: Callable[[CollectorRegistry], object]) -> Iterator[str]:
    yield f"## {title}"
    yield table(("Metric", "Type", "Labels", "Meaning"), (row for each in collectors(define) for row in _rows(each)))


def _rows(collector: Collector) -> Iterator[tuple[str, str, str, str]]:
    for metric in collector.describe():
        labels = getattr(collector, "_labelnames", None) or getattr(metric, "_labelnames", ())
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        yield f"`{name}`", metric.type, ", ".join(f"`{label}`" for label in labels), metric.documentation
