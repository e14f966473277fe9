"""What tests of the transports have in common: a job, the operator's settings, a clock that is turned by hand."""

import asyncio
from datetime import UTC, datetime, timedelta

from consilia_operator.settings import OperatorSettings
from consilia_operator.transport.foundation import Surroundings
from consilia_operator.transport.interface import NotReady

HUB, OPERATOR = "hub", "consilia-system"
UID = "0a1b2c3d-0000-4000-8000-000000000000"


class Clock:
    """Both clocks at once: seconds that are counted, and the time of day."""

    def __init__(self):
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def seconds(self):
        return self.now.timestamp()

    def time(self):
        return self.now

    def forward(self, **amount):
        self.now += timedelta(**amount)


def operator_settings(**changes):
    return OperatorSettings.model_validate({"images": {"worker": "worker:1", "kafka": "kafka:1"}} | changes)


def surroundings(clock, **changes):
    return Surroundings(operator_settings(**changes), OPERATOR, clock.time, clock.seconds)


def federated_job(name="demo", *, transport=None, uid=UID, namespace=HUB):
    spec = {
        "task": {"entrypoint": "consilia_workers.tasks.heart_disease:HeartDisease"},
        "dataset": "heart-disease",
        "hospitals": {"names": ["riverside", "lakeside"]},
        "rounds": {"count": 3},
    }
    return {
        "apiVersion": "consilia.dev/v1alpha1",
        "kind": "FederatedJob",
        "metadata": {"name": name, "namespace": namespace, "uid": uid},
        "spec": spec | ({"transport": transport} if transport else {}),
    }


def prepare(transport, job, hospitals=("riverside", "lakeside")):
    return asyncio.run(transport.prepare(job, list(hospitals)))


def waits_for(answer, reason):
    assert isinstance(answer, NotReady), answer
    assert answer.reason == reason, answer
    assert answer.retry_seconds > 0
    return answer
