"""Where each hospital's data is, in a run on one machine."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from consilia_workers.source import DataSource


class Site(BaseModel):
    """Where one hospital's data is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hospital: str
    path: Path | None
    parameters: dict[str, str]

    def source(self) -> DataSource:
        """As tasks know it."""
        return DataSource(hospital=self.hospital, path=self.path, parameters=self.parameters)
