"""`consilia kafka check`: what these credentials may do on a cluster, and must not."""

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from consilia.errors import RunError
from consilia.kafka.acls import rules
from consilia.kafka.diagnosis import diagnose
from consilia.kafka.probe import Checked, Probe, Right, expected
from consilia.kafka.settings import KafkaSettings
from consilia_workers.cli.kafka_job import AsJson, RosterFile, job_and_parties
from consilia_workers.cli.kafka_words import print_checked

EXIT_WRONG = 1
_SECONDS = 10.0
"""How long the visits to all brokers together may take."""


def check(
    settings: Annotated[Path, typer.Option(help="The party's own Kafka settings.")],
    file: Annotated[Path | None, typer.Argument(help="The job: YAML with a FederatedJob.")] = None,
    party: Annotated[
        str | None, typer.Option("--as", help="Whose settings they are: a hospital, or aggregator.")
    ] = None,
    roster: RosterFile = None,
    as_json: AsJson = False,
) -> None:
    """Try what a party must be able to do on Kafka, and what it must not; without a job, only the way and the login.

    Nothing is changed by it, and a job that runs is not disturbed.

    Exit codes: 0 all is as it should be, 1 something is not, 2 the job file is not valid.
    """
    if (file is None) != (party is None):
        remedy = "Give both; or neither, to try the way and the login alone."
        raise RunError("A job and --as go together.", remedy=remedy)
    rights = _rights(file, party, roster) if file and party else ()
    kafka = KafkaSettings.load(settings)
    if error := diagnose(kafka, _SECONDS):
        raise error
    with closing(Probe(kafka)) as probe:
        checked = probe.check(rights)
    if as_json:
        typer.echo(json.dumps(_as_data(checked), ensure_ascii=False))
    else:
        print_checked(checked, where=kafka.where, who=kafka.principal)
    if not checked.passed:
        raise typer.Exit(EXIT_WRONG)


def _rights(file: Path, party: str, roster: Path | None) -> tuple[Right, ...]:
    job, parties = job_and_parties(file, roster, ())
    return expected(rules(job, parties), parties.principal(party), job)


def _as_data(checked: Checked) -> dict[str, object]:
    rights = [
        {
            "operation": each.right.operation,
            "resourceType": each.right.kind,
            "resourceName": each.right.name,
            "wanted": each.right.wanted,
            "may": each.may,
        }
        for each in checked.tried
    ]
    return {"passed": checked.passed, "version": checked.version, "authorizer": checked.authorizer, "rights": rights}
