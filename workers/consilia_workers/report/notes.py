"""What a reader must know before believing the figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from consilia_workers.report.comparison import Comparison, succeeded
from consilia_workers.report.curves import Curve
from consilia_workers.report.participation import closed_rounds
from consilia_workers.report.privacy import privacy_rows, promise
from consilia_workers.report.results import Report
from consilia_workers.report.wording import capital, counted, listed, metric, printable

_EXACT = (
    "are exact: no noise protects the patients behind them, and they tell how many there are. Hand this page only to "
    "who may know that."
)


def notes(report: Report, comparisons: Sequence[Comparison], curves: Sequence[Curve]) -> list[str]:
    """One paragraph each, the weightiest first."""
    return [
        *_protection(report),
        *_figures(report),
        *_yardsticks(report, comparisons),
        *_holes(comparisons),
        *_rounds(report, curves),
    ]


def _protection(report: Report) -> Iterator[str]:
    if promise(report):
        yield from _promised(report)
    else:
        yield (
            "The updates were not protected by differential privacy: the job sets no `privacy`. What a model "
            "has learned may reveal something about single patients to whoever holds the model or an update."
        )
    if (report.spec.get("secureAggregation") or {}).get("mode", "None") == "None":
        yield (
            "The aggregator saw each hospital's update by itself: `secureAggregation` is off. "
            "Updates were signed by the hospitals, but not hidden from the hub."
        )


def _promised(report: Report) -> Iterator[str]:
    asked, violated = promise(report) or {}, [row for row in privacy_rows(report) if row.violated]
    if violated:
        yield (
            f"The audit found the promise broken at {listed([printable(row.hospital) for row in violated])}: more came "
            "out than the ledger charged. Do not rely on the ε on this page; find out what is wrong with the noise."
        )
    yield _promise(report, asked)
    yield (
        "Each hospital added the noise itself, before its update left. The hub, the other hospitals and whoever gets "
        "the model saw the noisy updates only, and the promise holds against all of them, whatever else they know. It "
        "does not hold against the hospital itself, which has the records."
    )
    yield _who_saw_the_metrics(asked)


def _promise(report: Report, asked: Mapping[str, Any]) -> str:
    whole = asked["mechanism"] != "DPSGD"
    each = f"each of the {len(report.seeds)} trainings of this run" if len(report.seeds) > 1 else "this job"
    single = f"every single {printable(str(asked['unit'])).lower()} of each hospital"
    whose = "all data of each hospital" if whole else single
    spent = max((row.epsilon for row in privacy_rows(report) if row.epsilon is not None), default=None)
    figure = f"ε = {spent:.3f}" if spent is not None else "an ε"
    tighter = max((row.tighter for row in privacy_rows(report) if row.tighter is not None), default=None)
    beside = f" (a tighter figure, from the privacy loss distribution: {tighter:.3f})" if tighter is not None else ""
    return (
        f"Promised is differential privacy for {whose}: with {figure} or less{beside} and "
        f"δ = {printable(str(asked['delta']))}, what left a hospital is about as likely with as without it. The "
        "smaller ε, the less can be told; δ is the chance that this does not hold. The ε is the ledger's, by Rényi "
        f"differential privacy; it is of {each} alone, and what others learn from the same records comes on top."
    )


def _who_saw_the_metrics(asked: Mapping[str, Any]) -> str:
    if asked["evaluation"] == "Charged":
        return (
            "The metrics that hospitals reported come from counts with noise, which the ε pays for: single figures "
            f"are less exact than without. The audits' figures {_EXACT}"
        )
    return (
        "The metrics shown here never left the hospitals in a message: they were kept there, and read because all "
        f"hospitals ran on one machine. They and the audits' figures {_EXACT}"
    )


def _figures(report: Report) -> Iterator[str]:
    yield (
        "Each hospital computed the metrics itself, on its own test split, which no model was trained on. At a small "
        "hospital, a few patients may make a visible difference."
    )
    seeds = len(succeeded(report))
    if seeds == 1:
        yield (
            "One seed only: chance in the initial model and in the order of the records is not measured. Run the "
            "job with `--seeds 5` to see the spread."
        )
    if seeds > 1:
        yield (
            f"± is the standard deviation between {seeds} seeds (n - 1): chance in the initial model and in the order "
            "of the records. It says nothing about the chance of who happens to be in a test split."
        )
    yield "The model of the last round is judged, not the best one on the way."


def _yardsticks(report: Report, comparisons: Sequence[Comparison]) -> Iterator[str]:
    ways = {way for comparison in comparisons for way in comparison.ways} - {"federated"}
    if ways and promise(report):
        yield (
            f"{' and '.join(sorted(ways)).capitalize()} were trained without privacy, by the task's own code beside "
            "the records, and were charged to nobody: they are for made-up or public data. The same learning rates "
            "mean something else without clipping, so the difference is not what privacy costs."
        )
    elif ways:
        yield (
            f"{' and '.join(sorted(ways)).capitalize()}: the same model, optimizer, learning rates and number of "
            "rounds and local epochs as the federation, without a server; not tuned to do well on their own."
        )
    else:
        yield "What a hospital reaches alone and what pooling would give was not measured in this run."


def _holes(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for comparison in comparisons:
        for reason in dict.fromkeys(comparison.missing.values()):
            names = [printable(name) for name, why in comparison.missing.items() if why == reason]
            yield (
                f"{capital(metric(comparison.metric))}: {listed(names)} {reason}. Not part of the mean. "
                "(An AUC, for instance, needs test patients with and without the outcome.)"
                if "not defined" in reason
                else f"{capital(metric(comparison.metric))}: {listed(names)} {reason}. Not part of the mean."
            )


def _rounds(report: Report, curves: Sequence[Curve]) -> Iterator[str]:
    rounds = closed_rounds(report)
    if incomplete := sum(bool(result.dropped) for result in rounds):
        yield f"{counted(incomplete, 'round')} of {len(rounds)} went on without a hospital that was waited for."
    if any(curve.filled for curve in curves):
        yield (
            "Where a hospital did not report a metric after a round, the curves' means use the last value that it "
            "reported."
        )
