"""Files of resources: read, checked, and handed over only when nothing is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from consilia.api import Dataset, FederatedJob, Hospital
from consilia.api.problem import Problem
from consilia.api.support import Where
from consilia.errors import ManifestError
from consilia.manifest.checking import Checked, check_text
from consilia.manifest.yaml_document import BYTES_AT_MOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a job file holds."""

    job: FederatedJob
    datasets: tuple[Dataset, ...] = ()
    hospitals: tuple[Hospital, ...] = ()

    def dataset_of(self, hospital: str) -> Dataset | None:
        """The hospital's Dataset for this job: named like `spec.dataset`, in the namespace named like the hospital."""
        wanted = (hospital, self.job.spec.dataset)
        found = (item for item in self.datasets if (item.metadata.namespace, item.metadata.name) == wanted)
        return next(found, None)


def load(path: Path | str) -> Manifest:
    """Read a job file: one FederatedJob, and any Datasets and Hospitals beside it.

    Raises:
        ManifestError: something in it is wrong; the message lists all of it.
    """
    checked = _check(Path(path))
    jobs = [item for item in checked.resources if isinstance(item, FederatedJob)]
    found = list(checked.problems)
    if not found and len(jobs) != 1:
        rule = f"a job file holds exactly one FederatedJob, this one holds {len(jobs)}"
        found = [Problem(file=str(path), rule=rule, remedy="Put each job into a file of its own.")]
    if found:
        raise ManifestError(_listed(path, found))
    return Manifest(
        job=jobs[0],
        datasets=tuple(item for item in checked.resources if isinstance(item, Dataset)),
        hospitals=tuple(item for item in checked.resources if isinstance(item, Hospital)),
    )


def problems(path: Path | str, where: Where = "Local") -> list[Problem]:
    """Everything that is wrong with a file of resources, in the order of its lines; empty when it is valid there."""
    return list(_check(Path(path), where).problems)


def _check(path: Path, where: Where = "Local") -> Checked:
    try:
        text = _text(path)
    except ManifestError as error:
        return Checked(problems=(Problem(file=str(path), rule=error.message, remedy=error.remedy),))
    checked = check_text(text, where)
    ordered = sorted(checked.problems, key=lambda problem: (problem.line, problem.column))
    return replace(checked, problems=tuple(replace(problem, file=str(path)) for problem in ordered))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_AT_MOST + 1)
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror}", remedy="Give the path of a readable file.") from error
    if len(data) > BYTES_AT_MOST:
        raise ManifestError(f"larger than {BYTES_AT_MOST // 1024} KiB", remedy="Is this a job file? Split it if it is.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"not UTF-8 text (byte {error.start})", remedy="Save the file as UTF-8.") from error


def _listed(path: Path | str, found: Sequence[Problem]) -> str:
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    return "\n  ".join((f"{path} has {count}:", *(str(replace(problem, file="")) for problem in found)))
