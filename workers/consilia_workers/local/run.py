"""`consilia run`, from the plan to the report. `run` is the whole story."""

from time import time

from consilia import __version__
from consilia.wire.config_digest import config_digest
from consilia.wire.identity import canonical, digest
from consilia.wire.layout import Layout
from consilia_workers.local.display import Display, noted_warnings
from consilia_workers.local.export import read_head
from consilia_workers.local.federation import Federation
from consilia_workers.local.folder import RunFolder
from consilia_workers.local.plan import Plan
from consilia_workers.local.processes import Processes
from consilia_workers.local.run_log import RunLog, SqliteRunLog
from consilia_workers.report.page import write_page
from consilia_workers.report.results import Report, SeedResult

_SQLITE = SqliteRunLog()
PRIVATE = "consilia_workers.privacy.preload"


def run(plan: Plan, folder: RunFolder, display: Display, started: float, log: RunLog = _SQLITE) -> Report:
    """Train from every seed that is not done yet, measure the yardsticks, write the report.

    `started` is when the command began, in seconds since the epoch; `log` is where the parties talk.

    Raises:
        RunError: a process could not be kept alive, or another runner holds the folder.
        ConsiliaError: the log cannot be had.
    """
    with (
        folder.held(),
        noted_warnings(display),
        log.serving(folder.path, display),  # begins to start before the framework is loaded, and ends after all
        Processes(_entry_module(plan), folder.path / "nursery.log") as processes,
    ):
        for number, seed in enumerate(plan.seeds, start=1):
            own, job = log.place(folder.seed(seed)), log.named(plan.for_seed(seed), folder.uid(seed))
            if not own.result.exists():
                display.training(_title(plan, number), plan.job.spec.rounds.count)
                federation = Federation(job, plan.sites, own, processes, display, log)
                result = federation.train(started if number == 1 else time())
                if plan.baselines and result.outcome == "Succeeded":
                    result = federation.measure(result)
                own.keep(result)
            log.clear(job, own, display)
        report = assemble(plan, folder)
        write_page(report, folder.path / "report.html")
        report.save(folder.report)
    return report


def identity(plan: Plan) -> str:
    """Stands for what is run: a run is resumed only with the same."""
    sites = [site.model_dump(mode="json") for site in plan.sites]
    return digest(canonical([config_digest(plan.job), sites, list(plan.seeds), plan.baselines]))


def _entry_module(plan: Plan) -> str:
    """What all processes of the run are forked with. The code of a private job's task is not to be part of them."""
    spec = plan.job.spec
    return PRIVATE if spec.privacy else spec.task.entrypoint.partition(":")[0]


def _title(plan: Plan, number: int) -> str:
    name = plan.job.metadata.name
    return f"{name}, seed {number} of {len(plan.seeds)}" if len(plan.seeds) > 1 else name


def assemble(plan: Plan, folder: RunFolder) -> Report:
    """Put the seeds' results together."""
    seeds = [SeedResult.model_validate_json(folder.seed(seed).result.read_bytes()) for seed in plan.seeds]
    models = [folder.seed(seed).model for seed in plan.seeds if folder.seed(seed).model.exists()]
    layout = Layout.parse(read_head(models[0])) if models else None
    spec = plan.job.spec
    return Report(
        job=plan.job.metadata.name,
        dataset=spec.dataset,
        entrypoint=spec.task.entrypoint,
        strategy=spec.aggregation.strategy,
        started=folder.started,
        consilia_version=__version__,
        hospitals=plan.hospitals,
        metrics=list(spec.evaluation.metrics),
        lower_is_better=folder.seed(plan.seeds[0]).lower_is_better(),
        parameters=layout.parameters if layout else 0,
        model_bytes=layout.size if layout else 0,
        spec=spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        seeds=seeds,
    )
