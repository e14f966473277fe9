"""The yardsticks as a program: train alone and pooled in a process of its own, and leave the metrics in a file."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from consilia.api import FederatedJob
from consilia_workers.local.site import Site
from consilia_workers.report.results import ByHospital


class MeasureSettings(BaseModel):
    """What to measure and where to put it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: Path
    sites: list[Site]
    result: Path
    progress: Path
    """Holds `done total` while it runs, in rounds."""


class Measured(BaseModel):
    """The result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alone: ByHospital
    pooled: ByHospital | None


def main(path: Path) -> int:
    """Measure as the settings in the file say."""
    from consilia_workers.local.baselines import alone, pooled  # noqa: PLC0415 (torch, which the runner does without)

    settings = MeasureSettings.model_validate_json(path.read_bytes())
    job = FederatedJob.model_validate_json(settings.job.read_bytes())
    sources = [site.source() for site in settings.sites]
    done, total = 0, job.spec.rounds.count * (len(sources) + 1)

    def advance(_hospital: str, _round: int) -> None:
        nonlocal done
        done += 1
        settings.progress.write_text(f"{done} {total}")

    partial = settings.result.with_suffix(".partial")
    partial.write_text(
        Measured(alone=alone(job, sources, advance), pooled=pooled(job, sources, advance)).model_dump_json()
    )
    partial.replace(settings.result)
    return 0
