"""`consilia run`: a job file on this machine."""

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from consilia.api import FederatedJob
from consilia_workers.local.display import Display, make_display
from consilia_workers.local.folder import RunFolder
from consilia_workers.local.plan import make_plan
from consilia_workers.local.run import identity
from consilia_workers.local.run import run as run_plan
from consilia_workers.local.run_log import RunLog, SqliteRunLog
from consilia_workers.report.results import Report
from consilia_workers.report.table import print_table

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def run(  # noqa: PLR0913, PLR0917 (typer makes an option of every argument)
    file: Annotated[Path, typer.Argument(help="The job: YAML with a FederatedJob, and Datasets if you like.")],
    data: Annotated[
        Path | None, typer.Option(help="Your data: a folder with one for each hospital, or one for all.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where runs are kept, in a folder for each job.")] = Path("consilia-runs"),
    seeds: Annotated[int, typer.Option(min=1, help="Train so many times, from consecutive seeds.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last unfinished run of this job.")] = False,
    baselines: Annotated[
        bool | None,
        typer.Option(
            "--baselines/--no-baselines",
            help="Train alone and pooled too, for comparison. Default: yes, unless the job has `privacy`: that would "
            "be without noise, uncharged, and with the task's code beside the records.",
        ),
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(
            help="Talk through Kafka: host:port, a file of settings, or embedded for a broker of the run's own. "
            "Default: what spec.transport.external says, or else a SQLite log in the run's folder."
        ),
    ] = None,
    keep_topics: Annotated[
        bool, typer.Option("--keep-topics", help="Leave a finished training's topics on the cluster.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines instead of progress and table.")] = False,
) -> None:
    """Train across hospitals on this machine: aggregator and hospitals as processes, a log, a report at the end.

    Exit codes: 0 trained, 1 the job failed, 2 the file is not valid, 130 interrupted (go on with --resume).
    """
    started = time.time()
    plan = make_plan(file, data=data, seeds=seeds, baselines=baselines)
    console = Console()
    display = make_display(console, as_json=as_json, metric=plan.job.spec.evaluation.metrics[0])
    try:
        log = choose_log(kafka or _wanted(plan.job), keep_topics=keep_topics, display=display)
        open_folder = RunFolder.unfinished if resume else RunFolder.create
        folder = open_folder(out, plan.job.metadata.name, identity(plan), log=log.mark, how=log.how)
        report = run_plan(plan, folder, display, started, log)
    except KeyboardInterrupt:
        again = [word for word in sys.argv[1:] if word != "--resume"]
        display.note(f"stopped; go on with: consilia {shlex.join(again)} --resume")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        display.close()
    show(console, report, folder, as_json=as_json)
    if any(seed.outcome == "Failed" for seed in report.seeds):
        raise typer.Exit(EXIT_FAILED)


def _wanted(job: FederatedJob) -> str | None:
    """The Kafka that the job itself asks for; what else it may ask for was refused when the file was read."""
    transport = job.spec.transport
    return ",".join(transport.external.bootstrap_servers) if transport and transport.external else None


def choose_log(kafka: str | None, *, keep_topics: bool, display: Display) -> RunLog:
    """Where the parties talk.

    Raises:
        ConsiliaError: the Kafka that is wanted cannot be had.
    """
    if kafka is None:
        return SqliteRunLog()
    from consilia_workers.local.kafka_run_log import choose  # noqa: PLC0415 (others need not wait for a Kafka client)

    return choose(kafka, keep_topics=keep_topics, display=display)


def show(console: Console, report: Report, folder: RunFolder, *, as_json: bool) -> None:
    """The result, and where to read on."""
    page = folder.path / "report.html"
    models = [str(folder.seed(seed.seed).model) for seed in report.seeds if seed.model_digest]
    if as_json:
        event = {"event": "Report", "report": str(folder.report), "page": str(page), "models": models}
        console.print(json.dumps(event), highlight=False, markup=False, soft_wrap=True)
        return
    print_table(console, report)
    for name, place in (*(("model", model) for model in models), ("report", page)):
        console.print(f"{name}: {place}", highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)
