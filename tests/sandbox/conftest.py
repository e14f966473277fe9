"""Confined processes for tests, and something that they should not see."""

import pytest

from consilia_workers.sandbox.keeper import Confined, Confinement


@pytest.fixture
def confined(tmp_path):
    """Runs a function in a confined process and gives what it returned as text."""
    running = []

    def run(function, **confinement):
        process = Confined(
            "is tried out", lambda: lambda *_: ({"said": str(function())}, []), Confinement(**confinement)
        )
        running.append(process)
        return process.ask({}).head["said"]

    yield run
    for process in running:
        process.end()


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "key.pem"
    path.write_text("secret")
    return path
