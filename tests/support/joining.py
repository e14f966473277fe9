"""The two guides of joining, walked: who follows which, what is otherwise here than there, and what is left out."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from guided import Reader
from installation import QUICK
from pages import ROOT, blocks_of, steps_of

from tests.cluster.access import Access

JOIN_A_HUB, RUN_A_HUB = (ROOT / "docs" / "guides" / name for name in ("join-a-hub.md", "run-a-hub.md"))
PORT = 30093
LEFT_OUT = MappingProxyType(dict[tuple[str, str], str]())
"""Commands of the two pages that are not walked, page and command, and why. None, at present."""
OF_HOSPITALS = {
    # The clusters of the tests enforce no NetworkPolicies.
    "isolation": "Ignored",
    "sizes": {"trainer": QUICK, "ledger": QUICK},
    "storage": {"trainer": "200Mi", "ledger": "100Mi"},
}
_FINGERPRINT = re.compile(r"fingerprint\n +(\S.*?) *\n")


def otherwise_here(hospital: str, address: str) -> dict[str, str]:
    """What stands here in place of what the pages have."""
    return {
        "riverside": hospital,
        "hub.example": address,
        "192.0.2.10": address,
        "registry.hospital.example/consilia": "localhost",
        # Sizes for a small machine, and the tags of the images of these sources.
        "-f hospital-values.yaml": "-f hospital-values.yaml -f here.json",
        # The table of Cleveland's patients: the task asks for the site that the hospital's name is not.
        "  publicSize: 200": "  parameters: {site: cleveland}\n  publicSize: 200",
    }


def commands() -> set[tuple[str, str]]:
    """All commands of the two pages: page and command."""
    return {
        (page.name, step.command)
        for page in (JOIN_A_HUB, RUN_A_HUB)
        for block in blocks_of(page)
        if block.language == "console"
        for step in steps_of(block)
    }


def reader(folder: Path, access: Access, hospital: str, address: str, values: object) -> Reader:
    """Somebody with a terminal; `values` are what the guides' own values are given besides."""
    found = Reader(folder=folder, environment=access.environment, instead=otherwise_here(hospital, address))
    (folder / "here.json").write_text(json.dumps(values))
    return found


@dataclass(frozen=True, slots=True)
class Pair:
    """Who runs the hub, and who runs a hospital that joins it."""

    hub: Reader
    hospital: Reader

    def join(self) -> None:
        """From the request to the hospital's belief in its hub, each fingerprint read out to the other."""
        asked = self.hospital.follow(JOIN_A_HUB, "Ask")
        self.hub.reads_out = _hears(asked)
        shutil.copy(self.hospital.folder / "request.json", self.hub.folder)
        admitted = self.hub.follow(RUN_A_HUB, "Admit")
        self.hospital.reads_out = _hears(admitted.rpartition("is admitted")[2])
        shutil.copy(self.hub.folder / "bundle.json", self.hospital.folder)
        self.hospital.follow(JOIN_A_HUB, "Accept")


def _hears(printed: str):
    """Whether what is shown is the fingerprint that somebody else's terminal has shown."""
    found = _FINGERPRINT.search(printed)
    assert found, printed
    return lambda shown: found[1] in shown
