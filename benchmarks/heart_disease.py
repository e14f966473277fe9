"""Narrowed coronary arteries at four real hospitals, FLamby's split: accuracy at 0.5 and AUC, over seeds.

    python -m benchmarks.heart_disease [--seeds 5] [--work DIR] [--json]

Wants the data set heart-disease (`consilia data get heart-disease`). What is trained stands in
examples/heart-disease.yaml. The means are over the four hospitals, each counted once; `accuracy, all patients` counts
each test patient once instead, which is how FLamby's published figures are reckoned.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import quality
from benchmarks.options import positive
from consilia_workers.report.comparison import compare
from consilia_workers.report.results import Report

TEST_PATIENTS = {"cleveland": 104, "hungarian": 89, "switzerland": 16, "va": 45}
"""By FLamby's split."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = quality.command_line("heart_disease", __doc__)
    parser.add_argument("--seeds", type=positive, default=5, help="trainings from consecutive seeds")
    return parser.parse_args(arguments)


def benchmark(options: argparse.Namespace, work: Path) -> Sequence[Report]:
    """Each seed is a sample."""
    plan = quality.plan_for("heart-disease.yaml", seeds=options.seeds, rounds=options.rounds, parameters={})
    return quality.by_seed(quality.train(plan, work))


def summary(samples: Sequence[Report]) -> quality.Quality:
    """With the accuracy over all test patients beside the mean over hospitals."""
    found = quality.summarise(samples)
    over_all = quality.figure([compare(sample, "accuracy") for sample in samples], TEST_PATIENTS)
    return replace(found, metrics={**found.metrics, "accuracy, all patients": over_all})


if __name__ == "__main__":
    quality.main(parse(), benchmark, summary)
