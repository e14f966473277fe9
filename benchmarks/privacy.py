"""What differential privacy costs: the ready-made tasks at several ε, beside the same without, alone and pooled.

    python -m benchmarks.privacy stroke|heart_failure|heart_disease [--epsilon 0.5 1 2 5 8] [--samples 3] [--json]

Wants the data sets stroke and heart-disease (`consilia data get …`). What is trained stands in examples/*-private.yaml,
with the learning rate that goes with ε; without privacy in the examples beside them, on the same features. A sample is
another draw of noise (stroke: another cut into folds, each of them tested once). Unit: record; δ = 1e-5; ε by RDP, at
every hospital.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import quality
from benchmarks.options import positive, progress, work_folder
from consilia.errors import ConsiliaError
from consilia_workers.local.plan import Plan
from consilia_workers.report.results import Report
from consilia_workers.report.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a task is trained privately."""

    private: str
    """The example with privacy, and the one without."""
    open: str
    learning_rate: Callable[[float], float]
    """By ε: with more noise the steps must be smaller."""
    folds: int = 1
    parameters: Mapping[str, str] | None = None


RECIPES = {
    "stroke": Recipe(
        private="stroke-private.yaml",
        open="stroke.yaml",
        learning_rate=lambda epsilon: min(2 * epsilon, 8),
        folds=5,
        parameters={"answers": "centred"},
    ),
    "heart_failure": Recipe(
        private="heart-failure-private.yaml",
        open="heart-failure.yaml",
        learning_rate=lambda epsilon: min(2 * epsilon, 6),
    ),
    "heart_disease": Recipe(
        private="heart-disease-private.yaml",
        open="heart-disease.yaml",
        learning_rate=lambda epsilon: min(epsilon / 2, 4),
        parameters={"answers": "centred"},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What is printed: means and deviations over the samples of the mean over hospitals."""

    task: str
    metric: str
    samples: int
    private: Mapping[str, quality.Figure]
    """By ε."""
    open: quality.Figure
    spent: Mapping[str, float]
    """By ε: the most that a hospital has spent, by its ledger."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.privacy", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("task", choices=list(RECIPES))
    parser.add_argument("--epsilon", type=float, nargs="+", default=[0.5, 1, 2, 5, 8])
    parser.add_argument("--samples", type=positive, default=3)
    parser.add_argument("--rounds", type=positive, help="instead of the example's, to try things out")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the trainings here; go on with those begun here")
    parser.add_argument("--json", action="store_true", help="one line, for scripts")
    return parser.parse_args(arguments)


def benchmark(options: argparse.Namespace, work: Path) -> Curve:
    """All trainings."""
    recipe = RECIPES[options.task]
    open_ones = [_sample(options, recipe, work / "open", number, None) for number in range(options.samples)]
    private = {
        f"{epsilon:g}": [
            _sample(options, recipe, work / f"epsilon-{epsilon:g}", number, epsilon)
            for number in range(options.samples)
        ]
        for epsilon in options.epsilon
    }
    metric = "auc"
    return Curve(
        task=options.task,
        metric=metric,
        samples=options.samples,
        private={epsilon: quality.summarise(samples).metrics[metric] for epsilon, samples in private.items()},
        open=quality.summarise(open_ones).metrics[metric],
        spent={epsilon: most_spent(samples) for epsilon, samples in private.items()},
    )


def _sample(options: argparse.Namespace, recipe: Recipe, work: Path, number: int, epsilon: float | None) -> Report:
    """One draw of noise, over all folds."""
    progress(f"{options.task}, {'without privacy' if epsilon is None else f'ε = {epsilon:g}'}, sample {number + 1}")
    return quality.joined([
        quality.train(_plan(options, recipe, number, fold, epsilon), work / f"sample-{number}" / f"fold-{fold}")
        for fold in range(recipe.folds)
    ])  # fmt: skip


def _plan(options: argparse.Namespace, recipe: Recipe, number: int, fold: int, epsilon: float | None) -> Plan:
    parameters: dict[str, str | int] = dict(recipe.parameters or {})
    if recipe.folds > 1:
        parameters |= {"folds": recipe.folds, "fold": fold, "repeat": number}
    example = recipe.open if epsilon is None else recipe.private
    plan = quality.plan_for(example, seeds=1, rounds=options.rounds, parameters=parameters)
    plan = replace(plan, seeds=[plan.seeds[0] + number])
    return plan if epsilon is None else _private(plan, recipe, epsilon)


def _private(plan: Plan, recipe: Recipe, epsilon: float) -> Plan:
    """With that ε and its learning rate, and without yardsticks: they are trained without privacy."""
    spec = plan.job.spec
    assert spec.privacy is not None, "a private example is private"
    rate = f"{recipe.learning_rate(epsilon):g}"
    optimizer = spec.training.optimizer.model_copy(update={"learning_rate": rate})
    changes = {
        "privacy": spec.privacy.model_copy(update={"epsilon": f"{epsilon:g}"}),
        "training": spec.training.model_copy(update={"optimizer": optimizer}),
    }
    return replace(plan, job=plan.job.model_copy(update={"spec": spec.model_copy(update=changes)}), baselines=False)


def most_spent(samples: Sequence[Report]) -> float:
    """By any hospital in any of the trainings."""
    return max(max(seed.spent.values()) for each in samples for seed in each.seeds)


def as_text(curve: Curve) -> str:
    """A few lines for people."""
    drawn = counted(curve.samples, "sample")
    lines = [f"{curve.task}, {curve.metric}, {drawn}; unit record, δ = 1e-5, ε by RDP at every hospital"]
    for epsilon, figure in curve.private.items():
        lines.append(f"ε ≤ {epsilon:4} {quality.spread_text(figure['federated'])}   spent {curve.spent[epsilon]:.3f}")
    without = "   ".join(f"{way} {quality.spread_text(value)}" for way, value in curve.open.items())
    return "\n".join([*lines, f"without  {without}"])


def main(options: argparse.Namespace) -> None:
    """Train, summarise and print."""
    try:
        with work_folder(options.work) as work:
            curve = benchmark(options, work)
    except ConsiliaError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(asdict(curve)) if options.json else as_text(curve))


if __name__ == "__main__":
    main(parse())
