"""`consilia kafka retire`: a finished job's topics deleted, and a record of them kept."""

from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from consilia.log import topics
from consilia.log.opening import kafka_url, open_log
from consilia.manifest import load
from consilia_workers.cli.kafka_job import AsJson, read_roster
from consilia_workers.retirement import Retired, describe, export_rounds
from consilia_workers.retirement import retire as retire_job


def retire(
    job: Annotated[str, typer.Argument(help="The job's name on the log, as its run said it; or its file.")],
    settings: Annotated[Path, typer.Option(help="An administrator's Kafka settings, or the aggregator's.")],
    roster: Annotated[
        Path | None, typer.Option(help="The job's roster, as JSON: to check the aggregator's signatures.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="First write what the aggregator said to this file, a JSON object a line.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted and recorded.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even if the job is not finished; end it first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the topics of a finished job; what there was stays on the topic consilia.retired.

    Repeating it does no harm, and completes what was cut off.

    Exit codes: 0 retired, 1 it could not be, or the job is not finished.
    """
    name = load(Path(job)).job.log_name if Path(job).is_file() else job
    key = read_roster(roster).aggregator if roster else None
    with closing(open_log(kafka_url(settings))) as log:
        if export and topics.rounds(name) in log.topics():
            export_rounds(log, name, export)
        retired = describe(log, name, key) if dry_run else retire_job(log, name, key, force=force)
    if as_json:
        typer.echo(retired.model_dump_json(by_alias=True, exclude_none=True))
    else:
        _tell(retired, dry_run=dry_run)


def _tell(retired: Retired, *, dry_run: bool) -> None:
    reason = f" ({retired.reason})" if retired.reason else ""
    typer.echo(f"{retired.job}: {retired.outcome}{reason}, {retired.rounds} rounds; model {retired.model or 'none'}")
    when = datetime.fromtimestamp(retired.when).astimezone().isoformat(timespec="seconds")
    typer.echo("would be deleted:" if dry_run else f"deleted, and recorded on {topics.RETIRED} at {when}:")
    for topic, end in retired.topics.items():
        typer.echo(f"  {topic}, {end} offsets")
    typer.echo(f"rounds topic: {retired.rounds_digest}{'' if retired.verified else ', signatures not checked'}")
