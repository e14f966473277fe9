"""What a local run will do: the job, its hospitals, and where each one's data is."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from consilia.api import Dataset, FederatedJob
from consilia.errors import DataError, ManifestError
from consilia.ledger.interface import Budget
from consilia.manifest import Manifest, load
from consilia_workers.datasets.catalog import CATALOG, dataset_path, sites
from consilia_workers.local.site import Site
from consilia_workers.settings import BudgetSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One local run, resolved."""

    job: FederatedJob
    sites: Sequence[Site]
    """One for each hospital, in the order of their names."""
    seeds: Sequence[int]
    baselines: bool
    """Whether alone and pooled are trained too."""

    @property
    def hospitals(self) -> list[str]:
        """Their names."""
        return [site.hospital for site in self.sites]

    def for_seed(self, seed: int) -> FederatedJob:
        """The job with another seed."""
        training = self.job.spec.training.model_copy(update={"seed": seed})
        return self.job.model_copy(update={"spec": self.job.spec.model_copy(update={"training": training})})


def make_plan(file: Path, *, data: Path | None, seeds: int, baselines: bool | None = None) -> Plan:
    """Read the job file and find every hospital's data. Without a word on `baselines`, private jobs have none.

    Raises:
        ManifestError: the file breaks a rule, or asks for what this version lacks; all of it is listed.
        DataError: a hospital's data is not to be found; or it has a budget, and would be trained on without privacy.
    """
    manifest = load(file)
    names = _hospital_names(manifest)
    first = manifest.job.spec.training.seed
    found = [_site(manifest, name, names, data) for name in sorted(names)]
    if baselines and manifest.job.spec.privacy:
        _refuse_budgeted(found)
    return Plan(
        job=manifest.job,
        sites=found,
        seeds=range(first, first + seeds),
        baselines=manifest.job.spec.privacy is None if baselines is None else baselines,
    )


def _refuse_budgeted(sites: Sequence[Site]) -> None:
    if budgeted := [site.hospital for site in sites if site.budget]:
        message = f"--baselines trains without privacy, but data has a privacy budget at: {', '.join(budgeted)}."
        raise DataError(message, remedy="Leave --baselines out.")


def _hospital_names(manifest: Manifest) -> list[str]:
    wanted = manifest.job.spec.hospitals
    if wanted.names:
        return list(wanted.names)
    labels = wanted.selector.match_labels if wanted.selector else {}
    names = [h.metadata.name for h in manifest.hospitals if labels.items() <= (h.metadata.labels or {}).items()]
    if not names:
        message = "spec.hospitals.selector matches no Hospital in the file."
        raise ManifestError(message, remedy="Add `kind: Hospital` documents with these labels, or give names.")
    return names


def _site(manifest: Manifest, hospital: str, names: Sequence[str], data: Path | None) -> Site:
    """A `Dataset` document in the file comes first, then --data, then the catalog of known sets."""
    name, privacy = manifest.job.spec.dataset, manifest.job.spec.privacy
    unit = privacy.unit if privacy else "Record"
    if dataset := manifest.dataset_of(hospital):
        return _described(hospital, dataset)
    if data is not None:
        return Site(hospital=hospital, path=_place(data, hospital, names), parameters={}, unit=unit)
    if name not in CATALOG:
        remedy = f"Give --data FOLDER, or a `kind: Dataset` document named {name} in the namespace {hospital}."
        raise DataError(f"nothing says where the data set {name} of {hospital} is.", remedy=remedy)
    known = sites(name)
    if hospital not in known:
        remedy = f"Use names from {', '.join(known)}; or describe its data in a `kind: Dataset` document, or by --data."
        raise DataError(f"{hospital} has no part in the data set {name}.", remedy=remedy)
    return Site(hospital=hospital, path=dataset_path(name), parameters={}, unit=unit)


def _described(hospital: str, dataset: Dataset) -> Site:
    spec = dataset.spec
    place, budget = spec.source.host_path, spec.privacy_budget
    return Site(
        hospital=hospital,
        path=Path(place.path) if place else None,
        parameters=spec.parameters,
        unit=spec.unit,
        public_size=spec.public_size,
        budget=BudgetSettings(**asdict(Budget.of(budget))) if budget else None,
    )


def _place(data: Path, hospital: str, names: Sequence[str]) -> Path:
    """The hospital's own folder in --data; where no hospital has one, the data is everybody's."""
    if not data.exists():
        raise DataError(f"--data {data} does not exist.", remedy="Give the folder that holds the hospitals' data.")
    if not any((data / name).is_dir() for name in names):
        return data.resolve()
    if not (data / hospital).is_dir():
        remedy = f"Make {data / hospital}, or describe its data in a `kind: Dataset` document."
        raise DataError(f"--data {data} has no folder for {hospital}, but has for others.", remedy=remedy)
    return (data / hospital).resolve()
