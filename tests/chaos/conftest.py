"""What the tests over Kafka share: loading PyTorch takes longer than most of them."""

import pytest


@pytest.fixture(scope="session")
def nursery(tmp_path_factory):
    """Starts the processes of one job after the other."""
    from consilia_workers.local.processes import Processes

    with Processes("gated", tmp_path_factory.mktemp("nursery") / "output.log") as processes:
        yield processes
