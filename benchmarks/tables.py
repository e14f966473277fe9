"""From results to the tables of docs/benchmarks.md, and into the places that are marked for them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.logs import NAMES
from benchmarks.quality import spread_text
from benchmarks.results import Result, Results
from consilia.errors import RunError
from consilia_workers.report.wording import counted

WITH_BROKER = "cpu_seconds_per_round_with_broker"
ROUND_ROWS = {
    "wall_seconds_per_round": "wall, s a round: median",
    "wall_seconds_mean": "wall, s a round: mean",
    "wall_seconds_worst": "wall, s: the worst round",
    WITH_BROKER: "CPU of all processes, s a round",
    "broker_cpu_seconds_per_round": "of which the broker",
    "aggregator_peak_mib": "aggregator, peak MiB",
    "hospital_peak_mib": "hospital, peak MiB",
    "broker_peak_mib": "broker, peak MiB",
    "disk_peak_mib": "disk, peak MiB",
    "start_seconds": "start to round 1, s",
    "rounds": "rounds",
    "other_cpu_cores": "cores busy with other work",
}
THEIRS = {WITH_BROKER: "cpu_seconds_per_round", "broker_cpu_seconds_per_round": "", "broker_peak_mib": ""}
"""What peers call it, where that differs; empty where they have no such thing."""

WORK = {
    "create_seconds": "all created, s",
    "reconciled_seconds": "all reconciled, s",
    "operator_cpu_seconds": "the operator's CPU, s",
    "operator_cpu_ms_per_job": "the same a job, ms",
    "requests_per_job": "its requests a job",
    "look_ms_p50": "one look at a job, ms: median",
    "look_ms_p99": "one look at a job, ms: 99th of 100",
    "errors": "looks that failed",
    "rss_mib": "its memory afterwards, MiB",
    "peak_mib": "its memory, peak MiB",
    "other_cpu_cores": "cores busy with other work",
}
"""What the operator costs while it has work, and how it is called."""
AFTERWARDS = {
    "ready_seconds": "restart: ready, s",
    "settled_seconds": "restart: all looked at, s",
    "operator_cpu_seconds": "restart: CPU, its start included, s",
    "requests": "restart: requests",
    "peak_mib": "restart: peak MiB",
    "quiet_percent": "idle, between two resyncs: % of a core",
    "resync_cpu_seconds": "one resync: CPU, s",
    "idle_percent": "idle, a resync every 5 minutes: % of a core",
}
"""And when all is done."""

FLEET = {
    "admit_seconds": "all admitted, s",
    "admit_cpu_ms_per_hospital": "the operator's CPU for each, ms",
    "join_seconds": "all heard of, s",
    "rest_cpu_percent": "at rest: the operator, % of a core",
    "heartbeats_per_second": "heartbeats a second",
    "rest_cpu_ms_per_heartbeat": "CPU for each, ms",
    "rest_requests_per_heartbeat": "requests for each",
    "offered_seconds": "one job: offered to all, s",
    "answered_seconds": "answered by all, in its status, s",
    "offer_cpu_ms_per_hospital": "the operator's CPU for each hospital, ms",
    "rounds_cpu_percent": "while all train: the operator, % of a core",
    "rounds_letters_per_second": "letters a second",
    "rounds_cpu_ms_per_letter": "CPU for each, ms",
    "empty_rss_mib": "the operator's memory before, MiB",
    "rss_mib": "with all of them, MiB",
    "peak_mib": "its peak, MiB",
    "offer_bytes": "the largest offer, bytes",
    "report_bytes": "the largest report, bytes",
    "status_bytes": "the job with its status, bytes",
    "topic_bytes_per_hospital": "letters on the log for each, bytes",
    "topic_disk_mib": "their topics on the disk, MiB",
    "broker_cpu_percent": "at rest: the broker, % of a core",
    "broker_peak_mib": "the broker, peak MiB",
    "other_cpu_cores": "at rest: cores busy with other work",
}
"""What a hub with many hospitals in clusters of their own costs, and how it is called."""

Page = Mapping[str, str]
"""Markdown by the name of the place where it belongs."""

Section = Callable[[Mapping[str, Any]], str]
"""From what a benchmark printed to a table."""


def fill(text: str, page: Page) -> str:
    """The text with what stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->` replaced, for each name.

    Raises:
        RunError: the text has no such place, or one that does not end.
    """
    for name, content in page.items():
        place = re.compile(rf"(<!-- {re.escape(name)}:begin -->\n).*?(<!-- {re.escape(name)}:end -->)", re.DOTALL)
        found = list(place.finditer(text))
        if len(found) != 1:
            raise RunError(f"no single place between <!-- {name}:begin --> and <!-- {name}:end -->.")
        text = f"{text[: found[0].end(1)]}{content.strip()}\n{text[found[0].start(2) :]}"
    return text


def docs_page(results: Results) -> Page:
    """The places of docs/benchmarks.md; one for each benchmark, whether it has results or not, and the machine."""
    return {"benchmarks:machine": machine(results)} | {
        f"benchmarks:{name}": section(results.get(name), make) for name, make in SECTIONS.items()
    }


def section(result: Result | None, make: Section) -> str:
    """The table, with the command and the day."""
    if result is None:
        return "Not measured yet."
    return f"`{result.command}`, {result.date}:\n\n{make(result.measured)}"


def machine(results: Results) -> str:
    """What the figures were taken on; benchmarks that were run elsewhere are named."""
    places: dict[str, list[str]] = {}
    for name, result in results.items():
        places.setdefault(f"{result.machine}; Consilia {result.consilia}", []).append(name)
    if len(places) == 1:
        return f"All figures: {next(iter(places))}."
    return "\n".join(f"- {', '.join(names)}: {place}" for place, names in places.items())


def rounds_table(measured: Mapping[str, Any]) -> str:
    """Ours on each log, and the peers beside it with how many times ours their figures are."""
    ours, peers = measured["ours"], measured.get("peers", [])
    head = ["", *map(our_name, ours), *(f"{peer_name(peer)} ({peer['transport']})" for peer in peers)]
    rows = [
        [words, *(number(each[name]) for each in ours), *(beside(peer, name) for peer in peers)]
        for name, words in ROUND_ROWS.items()
    ]
    return table(head, rows)


def our_name(measured: Mapping[str, Any]) -> str:
    """With the log."""
    return f"Consilia {NAMES[measured['log']]}"


def peer_name(peer: Mapping[str, Any]) -> str:
    """Name and version."""
    names = {"nvflare": "NVFlare", "flower": "Flower"}
    return f"{names.get(peer['peer'], peer['peer'])} {peer['version']}"


def beside(peer: Mapping[str, Any], name: str) -> str:
    """A peer's figure, and how many times ours it is where that was reckoned."""
    theirs = THEIRS.get(name, name)
    if theirs not in peer:
        return "not measured" if theirs else ""
    times = peer["times_ours"].get(theirs)
    return number(peer[theirs]) + (f" ({number(times)} times ours)" if times else "")


def quality_table(measured: Mapping[str, Any]) -> str:
    """One row a metric, then one a hospital."""
    first = next(iter(measured["metrics"]))
    rows = [[metric, *ways(figure)] for metric, figure in measured["metrics"].items()]
    rows += [[f"{hospital}, {first}", *ways(figure)] for hospital, figure in measured["by_hospital"].items()]
    return table(["mean over the hospitals, then each", "alone", "federated", "pooled"], rows)


def ways(figure: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """Alone, federated and pooled."""
    return [spread_text(figure[way]) if way in figure else "" for way in ("alone", "federated", "pooled")]


def plain_table(measured: Mapping[str, Any]) -> str:
    """Each field by its own name."""
    return table(["", ""], [[name.replace("_", " "), number(value)] for name, value in measured.items()])


def logs_table(measured: Mapping[str, Any]) -> str:
    """Each field by its own name, a column for each log."""
    ours = measured["ours"]
    fields = [name for name in ours[0] if name != "log"]
    rows = [[name.replace("_", " "), *(number(each[name]) for each in ours)] for name in fields]
    return table(["", *map(our_name, ours)], rows)


def operator_table(measured: Mapping[str, Any]) -> str:
    """A column for each number of jobs; then what one number costs an operator that finds all done."""
    works = [(f"{work['jobs']:,} suspended", work) for work in measured["curve"]]
    if more := measured.get("extrapolated"):
        works.append((f"{more['jobs']:,}, by the line through them", more))
    if active := measured.get("active"):
        works.append((f"{active['jobs']:,} to run", active))
    head = ["FederatedJobs", *(name for name, _ in works)]
    rows = [[words, *(number(work[name]) if name in work else "" for _, work in works)] for name, words in WORK.items()]
    after = {name: {**measured["restart"], **measured["idle"]}[name] for name in AFTERWARDS}
    steady = [[words, number(after[name])] for name, words in AFTERWARDS.items()]
    return table(head, rows) + "\n\n" + table([f"with {after_jobs(measured)} suspended", ""], steady)


def fleet_table(measured: Mapping[str, Any]) -> str:
    """A column for each number of hospitals."""
    columns = [(f"{each['hospitals']:,}", each) for each in measured["curve"]]
    if more := measured.get("extrapolated"):
        columns.append((f"{more['hospitals']:,}, by the line through them", more))
    rows = [
        [words, *(number(each[name]) if name in each else "" for _, each in columns)] for name, words in FLEET.items()
    ]
    return table(["hospitals", *(name for name, _ in columns)], rows)


def after_jobs(measured: Mapping[str, Any]) -> str:
    """With how many jobs the operator was restarted and left alone."""
    return f"{measured['restart']['jobs']:,}"


def steps_table(measured: Mapping[str, Any]) -> str:
    """A row a model: a plain step, and private ones as multiples of it."""
    rows = [
        [f"{name}, {ratio['parameters']:,} parameters", number(ratio["plain_ms"]), ratio["style"],
         f"{number(ratio['one_batch'])} x", f"{number(ratio['as_trained'])} x"]
        for name, ratio in measured["models"].items()
    ]  # fmt: skip
    return table([f"batch of {measured['batch']}", "plain, ms", "clipped by", "one batch", "as trained"], rows)


def privacy_table(measured: Mapping[str, Any]) -> str:
    """A row for each ε, then the ways without privacy."""
    private = [
        [f"federated, ε = {epsilon}", spread_text(figure["federated"]), number(measured["spent"][epsilon])]
        for epsilon, figure in measured["private"].items()
    ]
    without = [[f"{way}, no privacy", spread_text(value), ""] for way, value in measured["open"].items()]
    head = [
        f"{measured['task'].replace('_', ' ')}, {counted(measured['samples'], 'sample')}",
        measured["metric"],
        "ε by the ledger",
    ]
    return table(head, private + without)


def number(value: float | None) -> str:
    """Three digits that count; whole numbers whole."""
    if value is None:
        return "not measured"
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """As Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


SECTIONS: Mapping[str, Section] = {
    "small": rounds_table,
    "large": rounds_table,
    "huge": rounds_table,
    "stream": logs_table,
    "heart-disease": quality_table,
    "stroke": quality_table,
    "stroke-outcome": quality_table,
    "heart-failure": quality_table,
    "private-steps": steps_table,
    "private-stroke": privacy_table,
    "private-heart-failure": privacy_table,
    "private-heart-disease": privacy_table,
    "log": logs_table,
    "strategies": plain_table,
    "reconcile": operator_table,
    "fleet": fleet_table,
}
"""How each benchmark's results are shown."""
