"""`consilia kafka`: who may do what on a Kafka cluster: printed, applied, and tried out.

What talks to a cluster is imported where it is called: no other command shall wait for a Kafka client to load.
"""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from consilia.errors import RunError
from consilia.kafka.acl_difference import Difference
from consilia.kafka.acl_formats import as_commands, as_data, as_strimzi
from consilia.kafka.acls import AclRule, rules, user_names
from consilia.kafka.rights import Checked, Right, expected
from consilia.kafka.settings import KafkaSettings
from consilia_workers.cli.kafka_job import AsJson, Job, Principals, RosterFile, job_and_parties
from consilia_workers.cli.kafka_retire import retire
from consilia_workers.cli.kafka_words import print_checked, print_difference, print_revoked, print_rules

EXIT_WRONG = 1
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
    REMOVE = "remove"


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
        typer.Option(
            help="add: what is missing; prune: and remove what is not needed; remove: all that only this job needs, "
            "when it is over; dry-run: only say what add and prune would do."
        ),
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
    elif form not in {Format.TABLE, Format.JSON}:
        remedy = f"Leave --apply out to print {form}, or print what is applied as json."
        raise RunError(f"--apply and --format {form} do not go together.", remedy=remedy)
    elif settings is None:
        raise RunError("--apply needs to know the cluster.", remedy="Give an administrator's --settings.")
    elif apply is Apply.REMOVE:
        from consilia_workers.cli.kafka_cluster import revoke_rules  # noqa: PLC0415

        revoked = revoke_rules(job, KafkaSettings.load(settings))
        _tell_revoked(revoked, as_json=form is Format.JSON)
    else:
        from consilia_workers.cli.kafka_cluster import apply_rules  # noqa: PLC0415

        add, remove = apply is not Apply.DRY_RUN, apply is Apply.PRUNE
        found = apply_rules(job, wanted, KafkaSettings.load(settings), add=add, remove=remove)
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
    from consilia_workers.cli.kafka_cluster import make_users  # noqa: PLC0415

    _, parties = job_and_parties(file, roster, principal or [])
    names = user_names(user for _, user in parties.named())
    made = make_users(names, KafkaSettings.load(settings), folder)
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


def _tell_revoked(revoked: Sequence[AclRule], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"revoked": as_data(revoked)}, ensure_ascii=False))
    else:
        print_revoked(revoked)


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
    from consilia_workers.cli.kafka_cluster import try_rights  # noqa: PLC0415

    if (file is None) != (party is None):
        remedy = "Give both; or neither, to try the way and the login alone."
        raise RunError("A job and --as go together.", remedy=remedy)
    rights = _rights(file, party, roster) if file and party else ()
    kafka = KafkaSettings.load(settings)
    checked = try_rights(kafka, rights)
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


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Keep a job's parties apart on a Kafka cluster.", no_args_is_help=True)
    for command in (acls, users, check, retire):
        group.command()(command)
    app.add_typer(group, name="kafka")
