"""Where the real data lies: CONSILIA_DATA, by default ../shared/data beside the repository. It is never committed."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("CONSILIA_DATA") or Path(__file__).parents[2].parent / "shared" / "data")


@pytest.fixture
def real_data():
    """The folder of one real data set; without it the test is skipped, but in CI it fails."""

    def folder(name: str) -> Path:
        if not (DATA / name).is_dir():
            message = f"no real data: {DATA / name} is missing; set CONSILIA_DATA to the folder that holds {name}/"
            pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
        return DATA / name

    return folder
