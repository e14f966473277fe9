"""Heart failure within a year at three made-up hospitals of different patients, tested on patients of all three.

    python -m benchmarks.heart_failure [--seeds 1] [--test region|own] [--work DIR] [--json]

Needs no data. What is trained stands in examples/heart-failure.yaml.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import quality
from benchmarks.options import positive
from consilia_workers.report.results import Report


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = quality.command_line("heart_failure", __doc__)
    parser.add_argument("--seeds", type=positive, default=1, help="trainings from consecutive seeds")
    parser.add_argument("--test", choices=["region", "own"], default="region", help="whose patients to test on")
    return parser.parse_args(arguments)


def benchmark(options: argparse.Namespace, work: Path) -> Sequence[Report]:
    """Each seed is a sample."""
    parameters = {"test": options.test}
    plan = quality.plan_for("heart-failure.yaml", seeds=options.seeds, rounds=options.rounds, parameters=parameters)
    return quality.by_seed(quality.train(plan, work))


if __name__ == "__main__":
    quality.main(parse(), benchmark)
