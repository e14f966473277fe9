"""Where each hospital's data is, in a run on one machine."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from consilia.api import Unit
from consilia_workers.settings import BudgetSettings
from consilia_workers.source import DataSource


class Site(BaseModel):
    """Where one hospital's data is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hospital: str
    path: Path | None
    parameters: dict[str, str]
    unit: Unit = "Record"
    public_size: int | None = None
    budget: BudgetSettings | None = None
    """The privacy budget of its data, if the file sets one."""

    def source(self) -> DataSource:
        """As tasks know it."""
        return DataSource(hospital=self.hospital, path=self.path, parameters=self.parameters)
