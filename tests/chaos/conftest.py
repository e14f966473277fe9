"""What the tests over Kafka share: loading PyTorch takes longer than most of them."""

from contextlib import ExitStack

import pytest

HOSPITALS = ("a", "b", "c")


@pytest.fixture(scope="session")
def nursery(tmp_path_factory):
    """Starts the processes of one job after the other."""
    from consilia_workers.local.processes import Processes

    with Processes("gated", tmp_path_factory.mktemp("nursery") / "output.log") as processes:
        yield processes


@pytest.fixture
def stage(tmp_path, kafka_settings, nursery):
    """Makes the stage of a job of three hospitals on the session's broker; `ways` are for `Stage`."""
    from chaos_kafka import Stage
    from gated import gated_job

    with ExitStack() as stack:

        def make(name, *, ready=3, ways=None, **rules):
            job = gated_job(name, HOSPITALS, ready=ready, **rules)
            return stack.enter_context(Stage(job, tmp_path / name, kafka_settings, nursery, ways=ways))

        yield make
