"""`consilia kafka`: who may do what on a Kafka cluster: printed, applied, and tried out."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from kafka import KafkaAdminClient

from consilia.errors import RunError
from consilia.kafka.access import Access, Difference, difference
from consilia.kafka.acl_formats import as_commands, as_data, as_strimzi
from consilia.kafka.acls import AclRule, rules
from consilia.kafka.connection import make_admin
from consilia.kafka.diagnosis import require_entry
from consilia.kafka.errors import plain_errors
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.users import Users, user_names
from consilia_workers.cli.kafka_check import check
from consilia_workers.cli.kafka_job import AsJson, Job, Principals, RosterFile, job_and_parties
from consilia_workers.cli.kafka_words import print_difference, print_rules

BROKERS = "localhost:9092"
"""Stands in the printed commands where no settings say the brokers."""


class Format(StrEnum):
    """How rules are printed."""

    TABLE = "table"
    COMMANDS = "commands"
    STRIMZI = "strimzi"
    JSON = "json"


class Apply(StrEnum):
    """What becomes of the rules on the cluster."""

    DRY_RUN = "dry-run"
    ADD = "add"
    PRUNE = "prune"


def acls(
    file: Job,
    roster: RosterFile = None,
    principal: Principals = None,
    form: Annotated[Format, typer.Option("--format", help="As what they are printed.")] = Format.TABLE,
    cluster: Annotated[str, typer.Option(help="The name of the Kafka resource, for strimzi.")] = "consilia",
    settings: Annotated[
        Path | None, typer.Option(help="An administrator's Kafka settings: for --apply, and the brokers in commands.")
    ] = None,
    apply: Annotated[
        Apply | None,
        typer.Option(help="add: what is missing; prune: and remove what is not needed; dry-run: only say so."),
    ] = None,
) -> None:
    """Print, or apply, the least that each party of a job needs on Kafka; the authorizer denies all else.

    Exit codes: 0 printed or applied, 1 it could not be, 2 the job file is not valid.
    """
    job, parties = job_and_parties(file, roster, principal or [])
    wanted = rules(job, parties)
    if apply is None:
        servers = ",".join(KafkaSettings.load(settings).bootstrap_servers) if settings else BROKERS
        _print(wanted, form, cluster=cluster, servers=servers)
    elif settings is None:
        raise RunError("--apply needs to know the cluster.", remedy="Give an administrator's --settings.")
    else:
        found = _applied(job, wanted, KafkaSettings.load(settings), apply)
        _tell(found, apply, as_json=form is Format.JSON)


def users(
    file: Job,
    settings: Annotated[Path, typer.Option(help="An administrator's Kafka settings.")],
    folder: Annotated[Path, typer.Option(help="Where the files with the passwords go.")],
    roster: RosterFile = None,
    principal: Principals = None,
    as_json: AsJson = False,
) -> None:
    """Make a SCRAM user for every party that has none, each with a random password in a file of its own.

    Exit codes: 0 every party has a user, 1 one could not be made, 2 the job file is not valid.
    """
    _, parties = job_and_parties(file, roster, principal or [])
    names = user_names(user for _, user in parties.named())
    kafka = KafkaSettings.load(settings)
    with _admin(kafka) as admin:
        made = {name: str(path) for name, path in Users(kafka, admin).create(names, folder)}
    if as_json:
        typer.echo(json.dumps({"made": made, "there": [name for name in names if name not in made]}))
        return
    for name, path in made.items():
        typer.echo(f"{name}: the password is in {path}")
    typer.echo(f"{len(made)} made, {len(names) - len(made)} there already.")


def _print(wanted: Sequence[AclRule], form: Format, *, cluster: str, servers: str) -> None:
    match form:
        case Format.TABLE:
            print_rules(wanted)
        case Format.COMMANDS:
            typer.echo(as_commands(wanted, servers=servers), nl=False)
        case Format.STRIMZI:
            typer.echo(as_strimzi(wanted, cluster=cluster), nl=False)
        case Format.JSON:
            typer.echo(json.dumps(as_data(wanted), ensure_ascii=False))


def _applied(job: str, wanted: Sequence[AclRule], settings: KafkaSettings, apply: Apply) -> Difference:
    """What differed before; as much of it as was asked for is made good."""
    with _admin(settings) as admin:
        access = Access(settings, admin)
        found = difference(job, wanted, access.found())
        if apply is not Apply.DRY_RUN:
            access.add(found.missing)
        if apply is Apply.PRUNE:
            access.remove(found.stale)
    return found


def _tell(found: Difference, apply: Apply, *, as_json: bool) -> None:
    if not as_json:
        print_difference(found, added=apply is not Apply.DRY_RUN, removed=apply is Apply.PRUNE)
        return
    data = {
        "present": len(found.present),
        "missing": as_data(found.missing),
        "stale": as_data(found.stale),
        "others": [each.words() for each in found.others],
        "added": apply is not Apply.DRY_RUN,
        "removed": apply is Apply.PRUNE,
    }
    typer.echo(json.dumps(data, ensure_ascii=False))


@contextmanager
def _admin(settings: KafkaSettings) -> Iterator[KafkaAdminClient]:
    require_entry(settings)
    with plain_errors(settings, doing="connect"):
        admin = make_admin(settings)
    with closing(admin):
        yield admin


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Keep a job's parties apart on a Kafka cluster.", no_args_is_help=True)
    for command in (acls, users, check):
        group.command()(command)
    app.add_typer(group, name="kafka")
