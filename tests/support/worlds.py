"""A small world on a real log: one aggregator, and hospitals that a test plays by hand."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from consilia.api import FederatedJob
from consilia.log import Log, chunks, follow, topics
from consilia.log.opening import open_log, sqlite_url
from consilia.wire.config_digest import config_digest
from consilia.wire.identity import Identity, Roster
from consilia.wire.layout import Layout, Tensor
from consilia.wire.messages import (
    Evaluated,
    FromAggregator,
    FromHospital,
    Joined,
    RoundOpened,
    Update,
    encode,
    from_aggregator,
)
from consilia.wire.payload import describe
from consilia_workers.aggregator import Aggregator
from consilia_workers.observers import UNOBSERVED, JobObserver

LAYOUT = Layout.of([
    Tensor(name="weight", dtype=np.dtype("<f4"), shape=(3, 2)),
    Tensor(name="running_mean", dtype=np.dtype("<f4"), shape=(2,), trainable=False),
])  # fmt: skip


def model_file(value: float = 0.0, layout: Layout = LAYOUT) -> bytes:
    """A model whose numbers are all the same."""
    return layout.header + b"".join(np.full(t.shape, value, t.dtype).tobytes() for t in layout.tensors)


def make_job(names: list[str], **spec: object) -> FederatedJob:
    """A job for these hospitals; `spec` replaces whole sections."""
    whole = {
        "task": {"entrypoint": "nowhere:Nothing"},
        "dataset": "none",
        "hospitals": {"names": names, "minReady": len(names), "minUpdates": 1},
        "rounds": {"count": 2, "deadlineSeconds": 60},
        **spec,
    }
    metadata = {"name": "job"}
    return FederatedJob.model_validate(
        {"apiVersion": "consilia.dev/v1alpha1", "kind": "FederatedJob", "metadata": metadata, "spec": whole}
    )


@dataclass
class Clinic:
    """One hospital, played by the test."""

    identity: Identity
    log: Log
    job: FederatedJob
    roster: Roster

    def __post_init__(self) -> None:
        self.topic = topics.up(self.identity.name, "job")
        self.producer = self.log.producer(topics.trainer(self.identity.name, "job"))

    def digests(self) -> dict[str, str]:
        return {"config_digest": config_digest(self.job), "roster_digest": self.roster.digest()}

    def say(self, message: FromHospital, *pieces: bytes | memoryview, signer: Identity | None = None) -> None:
        """A message and what follows it, in one transaction."""
        value, headers = encode(message, signer or self.identity)
        with self.producer.transaction() as transaction:
            transaction.append(self.topic, value, headers=headers)
            for piece in pieces:
                transaction.append(self.topic, piece)

    def joined(self, **changes: object) -> Joined:
        fields = {"job": "job", "hospital": self.identity.name, **self.digests(), "samples": 10, "version": "test"}
        return Joined.model_validate({**fields, **changes})

    def join(self, **changes: object) -> None:
        self.say(self.joined(**changes))

    def update(self, opened: RoundOpened, data: bytes, **changes: object) -> Update:
        """The header of an honest update with these bytes."""
        fields = {
            "job": "job",
            "hospital": self.identity.name,
            "round": opened.round,
            "base_digest": opened.model.sha256,
            **self.digests(),
            "samples": 10,
            "payload": describe([data]),
        }
        return Update.model_validate({**fields, **changes})

    def send(self, opened: RoundOpened, value: float = 1.0, **changes: object) -> None:
        """An honest update, but for the changes."""
        data = model_file(value)
        self.say(self.update(opened, data, **changes), *chunks(data))

    def evaluate(self, finished_round: int, model_digest: str, **metrics: float) -> None:
        message = Evaluated(
            job="job", hospital=self.identity.name, round=finished_round, model_digest=model_digest, metrics=metrics
        )
        self.say(message)


@dataclass
class World:
    """A log, keys, and the parties' hands on them."""

    folder: Path
    job: FederatedJob
    logs: list[Log] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = list(self.job.spec.hospitals.names or [])
        self.keys = {name: Identity.generate(name) for name in ("aggregator", *names)}
        hospitals = {name: self.keys[name].public() for name in names}
        self.roster = Roster(self.keys["aggregator"].public(), hospitals)
        self.aggregator = self.new_aggregator()
        self.clinics = {name: Clinic(self.keys[name], self.open(), self.job, self.roster) for name in names}

    def open(self) -> Log:
        self.logs.append(open_log(sqlite_url(self.folder / "log")))
        return self.logs[-1]

    def new_aggregator(self, observer: JobObserver = UNOBSERVED) -> Aggregator:
        """As after a start or a restart: whatever an older one held in memory is lost."""
        key = self.keys["aggregator"]
        aggregator = Aggregator(self.job, self.open(), key, self.roster, self._initial, observer)
        aggregator.recover()
        return aggregator

    def _initial(self) -> Path:
        path = self.folder / "initial"
        path.write_bytes(model_file())
        return path

    def begin(self) -> RoundOpened:
        """Everybody joins, round 1 opens."""
        for clinic in self.clinics.values():
            clinic.join()
        self.aggregator.await_quorum()
        return self.aggregator.open_round()

    def said(self) -> list[FromAggregator]:
        """Everything the aggregator has said."""
        log, key = self.logs[0], self.roster.aggregator
        return [from_aggregator(record, key=key, job="job") for record in follow(log, topics.rounds("job"), 0)]

    def close(self) -> None:
        for log in self.logs:
            log.close()
