"""What a test needs and a machine may lack: without it the test is skipped, saying so; in CI it fails."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

DATA = Path(os.environ.get("CONSILIA_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
"""Where the real data lies: CONSILIA_DATA, by default ../shared/data beside the repository. It is never committed."""


def missing(what: str) -> NoReturn:
    """Give up this test."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def real_data(name: str) -> Path:
    """The folder of one real data set."""
    if not (DATA / name).is_dir():
        missing(f"no real data: {DATA / name} is missing; set CONSILIA_DATA to the folder that holds {name}/")
    return DATA / name
