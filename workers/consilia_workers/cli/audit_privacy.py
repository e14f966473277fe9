"""`consilia audit-privacy`: what the hospitals' own audits found of a private job, for people and programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from consilia.errors import RunError
from consilia_workers.audit.result import AuditResult
from consilia_workers.privacy_files import AUDIT, CANARIES
from consilia_workers.report.privacy import auc_of, found_at_1_percent
from consilia_workers.report.wording import printable

EXIT_VIOLATED = 4
_HEADINGS = ("hospital", "ε by the ledger", "ε at least", "AUC", "TPR at 1 % FPR", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One hospital's audit, and which of a run's trainings it is of."""

    seed: int | None
    result: AuditResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A hospital that has none."""

    seed: int
    hospital: str


def audit_privacy(
    run: Annotated[
        Path,
        typer.Argument(
            help="The folder of a finished run; or a hospital's state folder, or the file audit.json in it."
        ),
    ],
    seed: Annotated[int | None, typer.Option(help="Only the training from this seed. Default: all of the run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Compute the lower bounds anew, from what was seen of the canaries.")
    ] = False,
) -> None:
    """Show whether the ε that was charged is borne out: a lower bound on the true one, and how well an attack does.

    Exit codes: 0 no bound is above what the ledger charged, 1 there is no audit, 4 one is.
    """
    read = _again if again else AuditResult.load
    audited = [Audited(seed=own, result=read(path)) for own, path in _places(run, seed)]
    missing = _missing(run, seed)
    if as_json:
        typer.echo(json.dumps(as_data(audited, missing)))
    else:
        _print(Console(), audited, missing)
    if any(each.result.verdict == "Violated" for each in audited):
        raise typer.Exit(EXIT_VIOLATED)


def _places(run: Path, seed: int | None) -> list[tuple[int | None, Path]]:
    """The audits' files, each with the seed of its training.

    Raises:
        RunError: there is none.
    """
    if seed is None and (run.is_file() or (run / AUDIT).exists()):
        return [(None, run if run.is_file() else run / AUDIT)]
    found = [folder / AUDIT for folder in _hospitals(run, seed) if (folder / AUDIT).exists()]
    if not found:
        of = "" if seed is None else f" from seed {seed}"
        raise RunError(
            f"{run} holds no audit of a training{of}.",
            remedy="Name the folder of a run whose job has `privacy` with mechanism DPSGD, or a file audit.json.",
        )
    return sorted((_seed_of(path.parent), path) for path in found)


def _missing(run: Path, seed: int | None) -> list[Missing]:
    """The hospitals of a run that left no audit: they never trained, or were killed."""
    absent = [folder for folder in _hospitals(run, seed) if not (folder / AUDIT).exists()]
    return [Missing(seed=_seed_of(folder), hospital=folder.name) for folder in absent]


def _hospitals(run: Path, seed: int | None) -> list[Path]:
    """Their folders."""
    return sorted(run.glob(f"seed-{'*' if seed is None else seed}/hospitals/*/"))


def _seed_of(hospital: Path) -> int:
    return int(hospital.parts[-3].removeprefix("seed-"))


def _again(path: Path) -> AuditResult:
    """The file's audit with a bound of its own.

    Raises:
        RunError: what was seen of the canaries is not beside it.
    """
    from consilia_workers.audit.ballast import Watched  # noqa: PLC0415 (torch takes seconds to load)
    from consilia_workers.audit.own import lower_bound  # noqa: PLC0415 (as above)

    before = AuditResult.load(path)
    watched = Watched.read(path.with_name(CANARIES))
    if watched is None:
        message = f"{path.with_name(CANARIES)} is missing or damaged: the bound cannot be computed anew."
        raise RunError(message, remedy="Leave --again out.")
    return before.with_bound(lower_bound(watched, before.delta))


def as_data(audited: Sequence[Audited], missing: Sequence[Missing]) -> dict[str, Any]:
    """What `--json` prints."""
    violated = any(each.result.verdict == "Violated" for each in audited)
    rows = [{"seed": each.seed, **each.result.model_dump()} for each in audited]
    verdict = "Violated" if violated else "Consistent"
    return {"verdict": verdict, "audits": rows, "missing": [asdict(each) for each in missing]}


def _print(console: Console, audited: Sequence[Audited], missing: Sequence[Missing]) -> None:
    several = len({each.seed for each in audited}) > 1
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for place, heading in enumerate([*(["seed"] if several else []), *_HEADINGS]):
        name = heading == "hospital"
        table.add_column(heading, justify="left" if name or place == 0 else "right", no_wrap=not name, overflow="fold")
    for each in audited:
        cells = [*([str(each.seed)] if several else []), *_cells(each.result)]
        table.add_row(*(Text(cell, style=_style(each.result)) for cell in cells))
    console.print(table)
    for each in audited:
        if each.result.verdict == "Violated":
            console.print(Text(_warning(each.result), style="bold red"), soft_wrap=True)
    for absent in missing:
        words = f"{printable(absent.hospital)}, seed {absent.seed}: no audit. It never trained, or was killed."
        console.print(Text(words, style="yellow"), soft_wrap=True)
    if all(each.result.verdict == "Consistent" for each in audited):
        console.print("Consistent: no bound is above what the ledger charged.", highlight=False, soft_wrap=True)


def _style(result: AuditResult) -> str:
    return "red" if result.verdict == "Violated" else ""


def _cells(result: AuditResult) -> list[str]:
    attack = result.membership
    return [
        printable(result.hospital),
        f"{result.epsilon:.3f}",
        f"{result.bound.epsilon:.3f}",
        auc_of(attack),
        found_at_1_percent(attack),
        result.verdict,
    ]


def _warning(result: AuditResult) -> str:
    return (
        f"{printable(result.hospital)}: ε is at least {result.bound.epsilon:.2f}, and the ledger charged "
        f"{result.epsilon:.2f}. The noise or the sampling is not what was charged: start no other private job here."
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit-privacy")(audit_privacy)
