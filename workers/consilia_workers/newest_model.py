"""The newest global model of a job, off the log chunk by chunk, for whoever may read it."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from consilia.errors import RecordGoneError, Refusal, RefusedMessage, RunError
from consilia.log import Log, Record, follow, topics
from consilia.wire.identity import PublicKey
from consilia.wire.messages import Payload
from consilia_workers.model_reader import VERSION, chunk_index
from consilia_workers.rounds.recovery import read_standing

_PATIENCE = 30.0
"""How long a model that was announced may take to be seen, in seconds; as in `model_reader`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestModel:
    """What the aggregator has said about it, and signed."""

    job: str
    """Its name on the log."""
    round: int
    """The round that gave it."""
    payload: Payload
    final: bool
    """Whether the job is over."""


def find_newest(log: Log, job: str, key: PublicKey) -> NewestModel:
    """The model of the last closed round; `key` is the aggregator's.

    Raises:
        RunError: no round is closed yet.
        RefusedMessage: a message on the log is of another version of Consilia.
    """
    standing = read_standing(log, job, key)
    if standing.last is None:
        ended = standing.finished is not None
        remedy = "See why the job failed." if ended else "Wait for the first round to close."
        raise RunError(f"{job} has no trained model: no round of it was closed.", remedy=remedy)
    final = standing.finished is not None
    return NewestModel(job=job, round=standing.closed, payload=standing.last.model, final=final)


def pieces(log: Log, model: NewestModel) -> Iterator[memoryview]:
    """Its bytes in order, one chunk in memory at a time; believe them only once the last one was there.

    Raises:
        RecordGoneError: a newer model has replaced it.
        RefusedMessage: the bytes are not those that the aggregator signed.
    """
    hash_ = sha256()
    records = _records(log, topics.model(model.job), model.round, model.payload.chunks)
    for index, record in enumerate(records):
        if chunk_index(record) != index:
            raise RecordGoneError(f"chunk {index} of model {model.round} of {model.job} is gone.")
        hash_.update(record.value)
        yield record.value
    if f"sha256:{hash_.hexdigest()}" != model.payload.sha256:
        message = f"the bytes of model {model.round} of {model.job} are not those that the aggregator signed"
        raise RefusedMessage(Refusal.WRONG_DIGEST, message, remedy="Throw away what was written.")


def _records(log: Log, topic: str, version: int, missing: int) -> Iterator[Record]:
    offset = 0
    while missing:
        for record in follow(log, topic, offset):
            offset = record.offset + 1
            text = record.headers.get(VERSION, "")
            found = int(text) if text.isdecimal() else -1
            if found > version:
                raise RecordGoneError(f"model {version} on {topic} was replaced while it was read.")
            if found == version:
                missing -= 1
                yield record
                if not missing:
                    return
        if not log.wait({topic: offset}, _PATIENCE):
            raise RecordGoneError(f"{missing} chunks of model {version} are missing on {topic}.")
