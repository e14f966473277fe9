"""Which data sets there are, what their sites are called, and where their files lie on this machine."""

import os
from dataclasses import dataclass
from pathlib import Path

from consilia.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One file of a data set: its name, its bytes' sha256 and the public address that serves exactly these bytes."""

    name: str
    sha256: str
    size: int
    """In bytes; a download that grows past it is broken off."""
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One entry of the catalog."""

    name: str
    """As a job's `dataset` says it."""
    title: str
    sites: tuple[str, ...]
    """The hospitals' names; a roster that uses them needs no further parameters."""
    rows: int
    """Patients at all sites together."""
    licence: str
    origin: str
    """Where the data comes from, and what to cite."""
    folder: str | None = None
    """Its folder under the data folder; None where it ships inside a package or is generated."""
    files: tuple[DataFile, ...] = ()


_UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease"

BREAST_CANCER = DataSet(
    name="breast-cancer",
    title="Wisconsin diagnostic breast cancer: is a tumour malignant, from 30 measurements of its cell nuclei",
    sites=("riverside", "lakeview", "hilltop"),
    rows=569,
    licence="CC BY 4.0",
    origin="ships with scikit-learn; Wolberg et al. 1993, doi 10.24432/C5DW2B; the sites are simulated",
)

HEART_DISEASE = DataSet(
    name="heart-disease",
    title="UCI heart disease: are coronary arteries narrowed, from an examination at four real hospitals",
    sites=("cleveland", "hungarian", "switzerland", "va"),
    rows=920,
    licence="CC BY 4.0",
    origin="UCI, doi 10.24432/C52P4X; investigators A. Janosi, W. Steinbrunn, M. Pfisterer, R. Detrano",
    folder="heart_disease",
    files=(
        DataFile(
            name="processed.cleveland.data",
            sha256="a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
            size=18_461,
            url=f"{_UCI}/processed.cleveland.data",
        ),
        DataFile(
            name="processed.hungarian.data",
            sha256="d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
            size=10_263,
            url=f"{_UCI}/processed.hungarian.data",
        ),
        DataFile(
            name="processed.switzerland.data",
            sha256="834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
            size=4_109,
            url=f"{_UCI}/processed.switzerland.data",
        ),
        DataFile(
            name="processed.va.data",
            sha256="e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
            size=6_737,
            url=f"{_UCI}/processed.va.data",
        ),
    ),
)

_RESIDE = "https://raw.githubusercontent.com/hehta/RESIDE/8e76733ecff3a89f44739a4fa21bf929ac802002"

STROKE = DataSet(
    name="stroke",
    title="International Stroke Trial: death and disability after stroke in 13 countries",
    sites=(
        "argentina",
        "australia",
        "czechia",
        "italy",
        "netherlands",
        "new-zealand",
        "norway",
        "poland",
        "portugal",
        "spain",
        "sweden",
        "switzerland",
        "uk",
    ),
    rows=16_928,
    licence="ODC-By",
    origin="University of Edinburgh, doi 10.7488/ds/104, as packaged by RESIDE; cite Trials 2011;12:101",
    folder="ist",
    files=(
        DataFile(
            name="IST.rda",
            sha256="e32ecb5aeedd18a41584e855e1d25fff358577880856ad9fd15048ef89978116",
            size=514_878,
            url=f"{_RESIDE}/data/IST.rda",
        ),
    ),
)

HEART_FAILURE = DataSet(
    name="heart-failure",
    title="Simulated heart failure: who is admitted or dies within a year, in three hospitals of different patients",
    sites=("childrens", "general", "oncology"),
    rows=30_000,
    licence="none needed: no patient is real",
    origin="generated; the model is written down in consilia_workers/datasets/heart_failure.py",
)

CATALOG = {entry.name: entry for entry in (BREAST_CANCER, HEART_DISEASE, STROKE, HEART_FAILURE)}


def find(name: str) -> DataSet:
    """The catalog's entry of that name.

    Raises:
        DataError: there is none.
    """
    if name not in CATALOG:
        raise DataError(f"No data set is called {name!r}.", remedy=f"Choose one of: {', '.join(CATALOG)}.")
    return CATALOG[name]


def sites(name: str) -> tuple[str, ...]:
    """The names of a data set's sites.

    Raises:
        DataError: the catalog has no such set.
    """
    return find(name).sites


def dataset_path(name: str) -> Path | None:
    """The folder where a data set lies; None where it ships inside a package or is generated.

    Raises:
        DataError: the catalog has no such set, or a file of it is not on this machine.
    """
    entry = find(name)
    folder = folder_of(entry)
    if folder is not None and (missing := [file.name for file in entry.files if not (folder / file.name).is_file()]):
        remedy = (
            f"Get it with `consilia data get {name}`, or set CONSILIA_DATA to the folder that holds {entry.folder}/."
        )
        raise DataError(f"{name} is not on this machine: {folder} lacks {', '.join(missing)}.", remedy=remedy)
    return folder


def folder_of(entry: DataSet) -> Path | None:
    """The folder where the set lies or would lie; None where it needs none."""
    return None if entry.folder is None else data_folder() / entry.folder


def data_folder() -> Path:
    """$CONSILIA_DATA, or else the user's data folder by the XDG Base Directory specification."""
    if chosen := os.environ.get("CONSILIA_DATA"):
        return Path(chosen)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "consilia"
