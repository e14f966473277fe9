"""Thirteen countries of the International Stroke Trial: the mean of their AUCs, cross-validated, repeated.

    python -m benchmarks.stroke [--folds 5] [--repeats 3] [--outcome death14|dependent6m] [--work DIR] [--json]

Wants the data set stroke (`consilia data get stroke`). What is trained stands in examples/stroke.yaml and
examples/stroke-outcome.yaml. Alone, federated and pooled see the same folds. A repeat is another cut of each country's
patients into folds; the figures of a repeat are means over its folds.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import quality
from benchmarks.options import positive, progress
from consilia_workers.report.results import Report

EXAMPLE = {"death14": "stroke.yaml", "dependent6m": "stroke-outcome.yaml"}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = quality.command_line("stroke", __doc__)
    parser.add_argument(
        "--folds", type=folds, default=5, help="parts of each country's patients, 2 to 20; each tested once"
    )
    parser.add_argument("--repeats", type=positive, default=3, help="so many cuts into folds")
    parser.add_argument("--outcome", choices=list(EXAMPLE), default="death14")
    return parser.parse_args(arguments)


def folds(text: str) -> int:
    """As the task allows."""
    if not 2 <= (number := positive(text)) <= 20:
        raise argparse.ArgumentTypeError(f"{text} folds: 2 to 20 are possible")
    return number


def benchmark(options: argparse.Namespace, work: Path) -> Sequence[Report]:
    """Each repeat is a sample."""
    return [
        quality.joined([_fold(options, work, repeat, fold) for fold in range(options.folds)])
        for repeat in range(options.repeats)
    ]


def _fold(options: argparse.Namespace, work: Path, repeat: int, fold: int) -> Report:
    progress(f"repeat {repeat + 1} of {options.repeats}, fold {fold + 1} of {options.folds}")
    parameters = {"outcome": options.outcome, "folds": options.folds, "fold": fold, "repeat": repeat}
    plan = quality.plan_for(EXAMPLE[options.outcome], seeds=1, rounds=options.rounds, parameters=parameters)
    return quality.train(plan, work / f"repeat-{repeat}" / f"fold-{fold}")


if __name__ == "__main__":
    quality.main(parse(), benchmark)
