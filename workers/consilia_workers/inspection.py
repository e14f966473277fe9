"""The program that has a hospital's ledger know a Dataset by what is in it, before any job is let near.

Exit codes: 0 it is known, 1 it cannot be, 75 the ledger cannot be reached now. Nothing about the data leaves it but
digests that are keyed with the ledger's own secret, and those go to the ledger alone.
"""

import logging
from pathlib import Path

from pydantic import Field

from consilia.api import Unit
from consilia.ledger.content import content_of
from consilia.ledger.opening import open_ledger
from consilia.wire.identity import Identity
from consilia_workers.settings import ProgramSettings

logger = logging.getLogger("consilia.inspection")


class InspectionSettings(ProgramSettings):
    """What the program is told at its start, as one JSON file."""

    hospital: str = Field(description="The hospital's name.")
    dataset: str = Field(description="The Dataset's name.")
    data: Path = Field(description="The mounted data.")
    unit: Unit = Field(description="Whose presence its budget hides: Record or Patient.")
    ledger: str = Field(description="The hospital's ledger: file:///path/of/a/folder, or http://host:port.")
    key: Path = Field(description="The hospital's Ed25519 private key, in PEM form, readable by its owner only.")


def main(path: Path) -> int:
    """Look at the data that the settings name, and tell the ledger what it is.

    Raises:
        DataError: the data is missing, empty, or cannot be read.
        LedgerError: the ledger is damaged, or knows the data under another unit.
        LedgerUnavailableError: it cannot be reached now.
    """
    settings = InspectionSettings.load(path)
    settings.start_logging(settings.hospital)
    ledger = open_ledger(settings.ledger, Identity.load(settings.hospital, settings.key))
    content = content_of(settings.data, ledger.content_key())
    account = ledger.register(settings.dataset, content, settings.unit)
    logger.info("the data of %s is known to the ledger as %s", settings.dataset, account)
    return 0
