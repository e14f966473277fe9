"""What the commands of `consilia kafka` ask alike: which job, and whom the brokers take its parties for."""

import json
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated

import typer

from consilia.errors import RunError
from consilia.kafka.acls import AGGREGATOR, Parties
from consilia.manifest import load
from consilia.wire.identity import Roster

WATCHER = "watcher"
"""Stands before the principal of somebody who only follows."""

Job = Annotated[Path, typer.Argument(help="The job: YAML with a FederatedJob.")]
RosterFile = Annotated[
    Path | None, typer.Option("--roster", help="The job's roster, as JSON, where the job does not name its hospitals.")
]
Principals = Annotated[
    list[str] | None,
    typer.Option(
        "--principal",
        help="Whom the brokers take a party for: riverside=User:CN=riverside. watcher=User:grafana adds one who only "
        "follows. A party that is not given is User: and its name.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def job_and_parties(file: Path, roster: Path | None, principals: Sequence[str]) -> tuple[str, Parties]:
    """The job's name on the log, and whom the brokers take its parties for.

    Raises:
        ManifestError: the file is no job.
        RunError: the hospitals are not known, or a principal belongs to none of the parties.
        LogError: a principal is not valid, or has two holders.
    """
    job = load(file).job
    names = read_roster(roster).hospitals if roster else job.spec.hospitals.names
    if not names:
        message = f"{file} chooses its hospitals by a selector, so their names are not in it."
        raise RunError(message, remedy="Give the job's --roster.")
    given, watchers = _assigned(principals, {AGGREGATOR, *names})
    hospitals = {name: given.get(name, f"User:{name}") for name in sorted(names)}
    aggregator = given.get(AGGREGATOR, f"User:{AGGREGATOR}")
    return job.log_name, Parties(aggregator=aggregator, hospitals=hospitals, watchers=tuple(watchers))


def read_roster(path: Path) -> Roster:
    """The roster in a file.

    Raises:
        RunError: it is missing, or no JSON.
        IdentityError: it holds no roster.
    """
    try:
        return Roster.parse(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        message = f"cannot use the roster in {path}: {reason}."
        raise RunError(message, remedy="Give the roster.json of the job.") from error


def _assigned(principals: Iterable[str], names: AbstractSet[str]) -> tuple[dict[str, str], list[str]]:
    """The principals of the parties by name, and those of watchers."""
    given: dict[str, str] = {}
    watchers: list[str] = []
    for text in principals:
        name, _, principal = text.partition("=")
        if name in given or name not in {*names, WATCHER}:
            what = "gives a party a second principal" if name in given else "names no party of the job"
            remedy = f"Write NAME=User:... once for each of: {', '.join(sorted(names))}, {WATCHER}."
            raise RunError(f"--principal {text} {what}.", remedy=remedy)
        if name in names:
            given[name] = principal
        else:
            watchers.append(principal)
    return given, watchers
