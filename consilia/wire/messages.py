"""The messages on the log: what they say, how they are signed, how they are read back.

A message is one record: its value is the canonical JSON of the fields (camelCase), its headers carry the signature.
Pydantic guards this border: what does not parse, is not signed by the party that it names, or is for another job,
is refused.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from consilia.errors import Refusal, RefusedMessage
from consilia.log import Record
from consilia.wire.identity import Identity, PublicKey, canonical

SIGNATURE = "signature"
"""The record header that carries the signature; a record without it is a piece of a payload."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=63)]
Round = Annotated[int, Field(ge=1, le=1_000_000)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
LeaveReason = Literal["TaskFailed", "DataUnavailable", "Diverged", "Refused"]
_Metric = Annotated[float, Field(allow_inf_nan=False)]
Metrics = Annotated[dict[Annotated[str, Field(max_length=63)], _Metric], Field(max_length=64)]


class Message(BaseModel):
    """What all messages share."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    job: Name
    """The job's name."""


class Payload(BaseModel):
    """Bytes that follow a message, or lie on the model topic, in chunks."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    sha256: Digest
    """Of all bytes, in order."""
    size: Count
    """In bytes."""
    chunks: Count


class Joined(Message):
    """Hospital: I am here, with this job's configuration, and have data."""

    type: Literal["Joined"] = "Joined"
    hospital: Name
    config_digest: Digest
    roster_digest: Digest
    samples: Count
    version: Annotated[str, Field(max_length=32)]


class Left(Message):
    """Hospital: I cannot take part (any more). The details stay in the hospital's own logs."""

    type: Literal["Left"] = "Left"
    hospital: Name
    reason: LeaveReason


class Update(Message):
    """Hospital: what I learned in this round; the payload follows in chunks."""

    type: Literal["Update"] = "Update"
    hospital: Name
    round: Round
    base_digest: Digest
    config_digest: Digest
    roster_digest: Digest
    samples: Annotated[int, Field(ge=1, le=2**40)]
    """Records trained on: the update's weight."""
    codec: Literal["None"] = "None"
    encoding: Literal["Parameters"] = "Parameters"
    """The payload holds the trained parameters themselves: see docs/decisions/0004."""
    payload: Payload
    metrics: Metrics = {}
    """The base model's, on this hospital's test split; only those that the job asks for."""
    image_digest: Digest | None = None
    train_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class Evaluated(Message):
    """Hospital: the metrics of a model on my test split."""

    type: Literal["Evaluated"] = "Evaluated"
    hospital: Name
    round: Round
    model_digest: Digest
    metrics: Metrics


class RoundOpened(Message):
    """Aggregator: train from this model and send your update before the deadline."""

    type: Literal["RoundOpened"] = "RoundOpened"
    round: Round
    model: Payload
    config_digest: Digest
    roster_digest: Digest
    hospitals: list[Name]
    """Whose updates the round waits for."""
    deadline: float
    """In seconds since the epoch, by the aggregator's clock."""


class RoundExtended(Message):
    """Aggregator: the deadline has passed below quorum; these are missing."""

    type: Literal["RoundExtended"] = "RoundExtended"
    round: Round
    missing: list[Name]
    extension: Count
    deadline: float


class CountedUpdate(BaseModel):
    """One update that is part of a round's result."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    hospital: Name
    sha256: Digest
    samples: Count
    metrics: Metrics = {}
    train_seconds: float = 0.0


class RefusedUpdate(BaseModel):
    """One message that was refused, for the record."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    hospital: Name
    reason: Refusal
    message: Annotated[str, Field(max_length=512)]


class RoundClosed(Message):
    """Aggregator: the round's result."""

    type: Literal["RoundClosed"] = "RoundClosed"
    round: Round
    model: Payload
    """The new global model."""
    cohort: list[CountedUpdate]
    refused: list[RefusedUpdate] = []
    dropped: list[Name] = []
    """Waited for, but not there at the deadline."""
    present: list[Name] = []
    """Hospitals that the next round waits for."""
    left: dict[Name, LeaveReason] = {}
    """Hospitals that said that they cannot take part."""
    metrics: Metrics = {}
    """Of the round's base model: means over hospitals, weighted by samples."""
    seconds: dict[str, float] = {}
    """By phase: `collect`, `aggregate`."""
    received_bytes: Count = 0


class EvaluationOpened(Message):
    """Aggregator: training is over; report the metrics of this, the final model."""

    type: Literal["EvaluationOpened"] = "EvaluationOpened"
    round: Round
    model: Payload
    hospitals: list[Name]
    deadline: float


class JobFinished(Message):
    """Aggregator: the last word."""

    type: Literal["JobFinished"] = "JobFinished"
    outcome: Literal["Succeeded", "Failed"]
    reason: Annotated[str, Field(max_length=63)]
    message: Annotated[str, Field(max_length=1024)] = ""
    rounds: Count
    model: Payload | None
    metrics: dict[Name, Metrics] = {}
    """Of the final model, by hospital."""


FromHospital = Joined | Left | Update | Evaluated
FromAggregator = RoundOpened | RoundExtended | RoundClosed | EvaluationOpened | JobFinished

_FROM_HOSPITAL: TypeAdapter[FromHospital] = TypeAdapter(Annotated[FromHospital, Field(discriminator="type")])
_FROM_AGGREGATOR: TypeAdapter[FromAggregator] = TypeAdapter(Annotated[FromAggregator, Field(discriminator="type")])
_T = TypeVar("_T", FromHospital, FromAggregator)


def encode(message: FromHospital | FromAggregator, identity: Identity) -> tuple[bytes, dict[str, str]]:
    """The value and the headers of the record that carries `message`, signed."""
    body = canonical(message.model_dump(mode="json", by_alias=True, exclude_none=True))
    return body, {SIGNATURE: identity.sign(body)}


def from_hospital(record: Record, *, hospital: str, key: PublicKey, job: str) -> FromHospital:
    """The message in `record` off `hospital`'s own topic.

    Raises:
        RefusedMessage: forged, malformed, or another hospital's or job's.
    """
    message = _decode(record, _FROM_HOSPITAL, hospital, key, job)
    if message.hospital != hospital:
        raise RefusedMessage(Refusal.FORGED, f"{hospital} signed a message in the name of {message.hospital}")
    return message


def from_aggregator(record: Record, *, key: PublicKey, job: str) -> FromAggregator:
    """The message in `record` off the rounds topic.

    Raises:
        RefusedMessage: forged, malformed, or another job's.
    """
    return _decode(record, _FROM_AGGREGATOR, "the aggregator", key, job)


def _decode(record: Record, adapter: TypeAdapter[_T], sender: str, key: PublicKey, job: str) -> _T:
    """Signature first: nothing unsigned is parsed."""
    where = f"offset {record.offset} of {record.topic}"
    if not key.signed(record.value, _signature(record.headers)):
        raise RefusedMessage(Refusal.FORGED, f"{where} is not signed by {sender}")
    try:
        message = adapter.validate_json(bytes(record.value), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise RefusedMessage(Refusal.MALFORMED, f"{where} from {sender}: {path}: {first['msg']}") from error
    if message.job != job:
        raise RefusedMessage(Refusal.WRONG_JOB, f"{where} from {sender} is for the job {message.job}, not {job}")
    return message


def _signature(headers: Mapping[str, str]) -> str:
    return headers.get(SIGNATURE, "")
