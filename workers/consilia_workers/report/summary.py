"""The run in a few plain sentences, for people who have never heard of a round."""

from collections.abc import Sequence

from consilia_workers.report.comparison import Comparison, Row, Spread, succeeded
from consilia_workers.report.participation import participation
from consilia_workers.report.results import Report
from consilia_workers.report.wording import (
    capital,
    counted,
    difference,
    in_words,
    listed,
    metric,
    number,
    printable,
    spread,
)

_NAMED = 5
"""Up to so many hospitals are called by their names."""


def summary(report: Report, comparisons: Sequence[Comparison]) -> list[str]:
    """What was trained and by whom, what came out, what it means for a hospital: a paragraph each."""
    paragraphs = [_what_was_done(report), failure(report)]
    if comparisons and comparisons[0].mean.federated:
        paragraphs += [_result(report, comparisons[0]), _others(comparisons[1:]), _meaning(comparisons[0])]
    return [paragraph for paragraph in paragraphs if paragraph]


def _what_was_done(report: Report) -> str:
    rounds = max((len(seed.rounds) for seed in report.seeds), default=0)
    if not rounds:
        return f"{_who(report)} set out to train one model together. No round was completed."
    records = sum(part.samples or 0 for part in participation(report))
    return (
        f"{_who(report)} trained one model together: {counted(rounds, 'round')} of {printable(report.strategy)} on "
        f"{counted(records, 'record')}. Every record stayed at its hospital; "
        f"only the model travelled, {counted(report.parameters, 'number')} of it."
    )


def _who(report: Report) -> str:
    hospitals = capital(in_words(len(report.hospitals), "hospital"))
    if len(report.hospitals) > _NAMED:
        return hospitals
    return f"{hospitals} ({listed([printable(name) for name in report.hospitals])})"


def failure(report: Report) -> str:
    """Which trainings failed, and why the first of them did; empty if none failed."""
    failed = [seed for seed in report.seeds if seed.outcome == "Failed"]
    if not failed:
        return ""
    why = printable(f"{failed[0].reason}: {failed[0].message}".rstrip(": ."))
    if len(report.seeds) == 1:
        return f"The training failed ({why})."
    if len(failed) == len(report.seeds):
        return f"All {len(failed)} trainings failed, the first of them with {why}."
    of_all = f"{len(failed)} of {len(report.seeds)} trainings failed, the first of them with {why}."
    return f"{of_all} The figures are those of the others."


def _result(report: Report, comparison: Comparison) -> str:
    mean = comparison.mean
    seeds = len(succeeded(report))
    over = f" over {counted(seeds, 'seed')}" if seeds > 1 else ""
    if len(comparison.averaged) < len(comparison.rows):
        where = f"On the test patients of {len(comparison.averaged)} of the {len(comparison.rows)} hospitals"
    else:
        where = "On each hospital's own test patients"
    text = f"{where}, the shared model reaches a mean {metric(comparison.metric)} of {spread(mean.federated)}{over}."
    if mean.alone and mean.gain:
        text += (
            f" A model trained by each hospital alone, on its own records, reaches {spread(mean.alone)}: "
            f"training together is {_verdict(mean.gain)}."
        )
    if mean.pooled and mean.gap:
        text += (
            f" With all records in one place, which is what federated learning avoids, the same model reaches "
            f"{spread(mean.pooled)}, which is {_verdict(mean.gap)}."
        )
    return text


def _verdict(figure: Spread) -> str:
    size = number(abs(figure.mean))
    if size == "0.000":
        return "the same to three decimals"
    within = figure.deviation is not None and abs(figure.mean) <= figure.deviation
    doubt = " (within the spread between seeds)" if within else ""
    return f"{'better' if figure.mean > 0 else 'worse'} by {size}{doubt}"


def _others(comparisons: Sequence[Comparison]) -> str:
    """Whether the other metrics agree: the first one must not hide them."""
    parts = [f"by {metric(c.metric)} it is {_verdict(c.mean.gain)}" for c in comparisons if c.mean.gain]
    return capital(f"{listed(parts)}, against training alone.") if parts else ""


def _meaning(comparison: Comparison) -> str:
    """Who gains and who loses by taking part."""
    gains = [(row, row.gain) for row in comparison.rows if row.gain]
    if not gains:
        return ""
    winners = [row for row, gain in gains if gain.mean > 0]
    losers = [row for row, gain in gains if gain.mean < 0]
    ordered = sorted(gains, key=lambda pair: pair[1].mean)
    total = counted(len(gains), "hospital")
    where = f"all {total}" if len(winners) == len(gains) > 1 else f"{len(winners)} of {total}"
    text = f"For a hospital that means: taking part gave a better model than training alone at {where}"
    if winners:
        text += f", most of all at {printable(ordered[-1][0].name)} ({difference(ordered[-1][1])})"
    return f"{text}. {_losers(losers)}".strip()


def _losers(losers: Sequence[Row]) -> str:
    if not losers:
        return ""
    named = [f"{printable(row.name)} ({difference(row.gain)})" for row in losers[:_NAMED]]
    more = [f"{len(losers) - _NAMED} more"] if len(losers) > _NAMED else []
    return f"It gave a worse one at {listed([*named, *more])}."
