"""How good a federated model is: the ready-made tasks trained alone, federated and pooled, as `consilia run` does.

A `Report` with one seed, or with the seeds of all folds of a cut, is one sample; means and deviations are over samples.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks.options import positive, progress, work_folder
from consilia.errors import ConsiliaError, RunError
from consilia.wire.messages import FromAggregator
from consilia_workers.local.folder import RunFolder
from consilia_workers.local.plan import Plan, make_plan
from consilia_workers.local.run import identity, run
from consilia_workers.report.comparison import Comparison, Spread, Way, compare
from consilia_workers.report.results import Report
from consilia_workers.report.wording import counted

EXAMPLES = Path(__file__).parents[1] / "examples"

Figure = Mapping[Way, Mapping[str, float | None]]
"""By way of training: `mean` and `sd`, the latter None of a single sample."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What a benchmark of this kind prints as one JSON line."""

    job: str
    hospitals: int
    rounds: int
    trainings: int
    """Federated ones; for each there are as many alone as hospitals, and a pooled one."""
    samples: int
    """How many the means and deviations are over: seeds, or cuts into folds."""
    dropped_updates: int
    """Updates that came too late and were not waited for, in all trainings."""
    training_seconds: float
    """Median wall time of a federated training, start and final evaluation included."""
    metrics: Mapping[str, Figure]
    """By metric: the unweighted mean over hospitals."""
    by_hospital: Mapping[str, Figure]
    """By the first metric; only hospitals on whose test patients it is defined in every training."""


class Milestones:
    """A display of few words: when a training begins, and what a person should know."""

    def training(self, title: str, rounds: int) -> None:
        """One line."""
        progress(f"{title}: {rounds} rounds")

    def said(self, message: FromAggregator) -> None:
        """Nothing."""

    def measuring(self, done: int, total: int) -> None:
        """Nothing."""

    def fetching(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """As it is."""
        progress(text)

    def close(self) -> None:
        """Nothing to tidy."""


def plan_for(example: str, *, seeds: int, rounds: int | None, parameters: Mapping[str, str | int]) -> Plan:
    """One of the example jobs, with the yardsticks; `rounds` instead of its own, `parameters` beside its own.

    Raises:
        DataError: the data set is not on this machine.
    """
    plan = make_plan(EXAMPLES / example, data=None, seeds=seeds, baselines=True)
    spec = plan.job.spec
    task = spec.task.model_copy(update={"parameters": {**spec.task.parameters, **parameters}})
    course = spec.rounds.model_copy(update={"count": rounds or spec.rounds.count})
    job = plan.job.model_copy(update={"spec": spec.model_copy(update={"task": task, "rounds": course})})
    return replace(plan, job=job)


def train(plan: Plan, path: Path) -> Report:
    """All of the plan's trainings, in the folder; what an earlier call finished there is taken over.

    Raises:
        RunError: the folder holds another plan's results, or a training failed.
    """
    folder = _folder_of(plan, path)
    report = Report.load(folder.report) if folder.report.exists() else run(plan, folder, Milestones(), time.time())
    failed = [seed for seed in report.seeds if seed.outcome != "Succeeded"]
    if failed:
        raise RunError(f"seed {failed[0].seed} in {folder.path} failed: {failed[0].reason} {failed[0].message}")
    return report


def _folder_of(plan: Plan, path: Path) -> RunFolder:
    """The run that lies there, finished or not; a new one if there is none."""
    what, job = identity(plan), plan.job.metadata.name
    begun = [RunFolder(found.parent) for found in sorted((path / job).glob("*/run.json"))]
    if any(folder.begun()["run"] != what for folder in begun):
        message = f"{path} holds the results of other options."
        raise RunError(message, remedy="Use the same options as before, or name another folder with --work.")
    return begun[-1] if begun else RunFolder.create(path, job, what)


def by_seed(report: Report) -> list[Report]:
    """Each seed a sample of its own."""
    return [report.model_copy(update={"seeds": [seed]}) for seed in report.seeds]


def joined(reports: Sequence[Report]) -> Report:
    """The trainings of several reports as one sample."""
    return reports[0].model_copy(update={"seeds": [seed for report in reports for seed in report.seeds]})


def summarise(samples: Sequence[Report]) -> Quality:
    """Means and deviations over the samples."""
    whole = joined(samples)
    rounds = [closed for seed in whole.seeds for closed in seed.rounds]
    compared = {metric: [compare(sample, metric) for sample in samples] for metric in whole.metrics}
    averaged, first = {metric: compare(whole, metric).averaged for metric in whole.metrics}, whole.metrics[0]
    return Quality(
        job=whole.job,
        hospitals=len(whole.hospitals),
        rounds=max(len(seed.rounds) for seed in whole.seeds),
        trainings=len(whole.seeds),
        samples=len(samples),
        dropped_updates=sum(len(closed.dropped) for closed in rounds),
        training_seconds=round(median(seed.wall_seconds for seed in whole.seeds), 1),
        metrics={metric: figure(each, dict.fromkeys(averaged[metric], 1)) for metric, each in compared.items()},
        by_hospital={hospital: figure(compared[first], {hospital: 1}) for hospital in averaged[first]},
    )


def figure(samples: Sequence[Comparison], weights: Mapping[str, int]) -> Figure:
    """The weighted mean over hospitals in each sample, then mean and deviation over the samples."""
    spreads = {way: Spread.of([_mean(sample, way, weights) for sample in samples]) for way in samples[0].ways}
    return {
        way: {"mean": round(spread.mean, 4), "sd": None if spread.deviation is None else round(spread.deviation, 4)}
        for way, spread in spreads.items()
        if spread
    }


def _mean(sample: Comparison, way: Way, weights: Mapping[str, int]) -> float:
    figures = {row.name: row.of(way) for row in sample.rows if row.name in weights}
    return sum(weights[name] * found.mean for name, found in figures.items() if found) / sum(weights.values())


Benchmark = Callable[[argparse.Namespace, Path], Sequence[Report]]
"""From the command line and a work folder to the samples."""

Summary = Callable[[Sequence[Report]], Quality]
"""From the samples to what is printed."""


def command_line(name: str, description: str | None) -> argparse.ArgumentParser:
    """What the benchmarks of this kind have in common."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=(description or "").split("\n")[0]
    )
    parser.add_argument("--rounds", type=positive, help="instead of the example's, to try things out")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the trainings here; go on with those begun here")
    parser.add_argument("--json", action="store_true", help="one line, for scripts")
    return parser


def main(options: argparse.Namespace, benchmark: Benchmark, summary: Summary = summarise) -> None:
    """Train, summarise and print."""
    try:
        with work_folder(options.work) as work:
            quality = summary(benchmark(options, work))
    except ConsiliaError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(asdict(quality)) if options.json else as_text(quality))


def as_text(quality: Quality) -> str:
    """A few lines for people."""
    counts = (counted(quality.hospitals, "hospital"), counted(quality.rounds, "round"))
    head = f"{quality.job}: {', '.join(counts)}, {counted(quality.trainings, 'training')}"
    lines = [
        f"{metric:10}" + "   ".join(f"{way} {spread_text(value)}" for way, value in figure.items())
        for metric, figure in quality.metrics.items()
    ]
    return "\n".join([head, *lines])


def spread_text(value: Mapping[str, float | None]) -> str:
    """`0.801 ± 0.002`, or the mean alone."""
    return f"{value['mean']:.3f}" + (f" ± {value['sd']:.3f}" if value.get("sd") is not None else "")
