"""Narrowed coronary arteries at four real hospitals, FLamby's split: accuracy at 0.5 and AUC, over seeds.

    python -m benchmarks.heart_disease [--seeds 5] [--work DIR] [--json]

Wants the data set heart-disease (`consilia data get heart-disease`). What is trained stands in
examples/heart-disease.yaml. The mean is over the four hospitals, each counted once, as FLamby reports it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import quality
from benchmarks.options import positive
from consilia_workers.report.results import Report


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = quality.command_line("heart_disease", __doc__)
    parser.add_argument("--seeds", type=positive, default=5, help="trainings from consecutive seeds")
    return parser.parse_args(arguments)


def benchmark(options: argparse.Namespace, work: Path) -> Sequence[Report]:
    """Each seed is a sample."""
    plan = quality.plan_for("heart-disease.yaml", seeds=options.seeds, rounds=options.rounds, parameters={})
    return quality.by_seed(quality.train(plan, work))


if __name__ == "__main__":
    quality.main(parse(), benchmark)
