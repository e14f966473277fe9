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
JobName = Annotated[str, Field(min_length=1, max_length=127)]
"""A name, and perhaps a dot and a suffix."""
Round = Annotated[int, Field(ge=1, le=1_000_000)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
LeaveReason = Literal["TaskFailed", "DataUnavailable", "Diverged", "Refused", "Exhausted", "LedgerDamaged"]
Epsilon = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]*)(\.[0-9]+)?$", max_length=32)]
_Metric = Annotated[float, Field(allow_inf_nan=False)]
Metrics = Annotated[dict[Annotated[str, Field(max_length=63)], _Metric], Field(max_length=64)]


class Message(BaseModel):
    """What all messages share."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    job: JobName
    """The job's name on the log: its name, and a dot and a suffix where it has a uid."""


class Payload(BaseModel):
    """Bytes that follow a message, or lie on the model topic, in chunks."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    sha256: Digest
    """Of all bytes, in order."""
    size: Count
    """In bytes."""
    chunks: Count
    """How many records of at most 1 MiB the bytes take."""


class LedgerHead(BaseModel):
    """Where a hospital's ledger ended: others keep it, so that an older copy of the ledger is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    entries: Count
    """How many entries it had."""
    digest: Digest
    """Of the last one."""


class Joined(Message):
    """Hospital: I am here, with this job's configuration, and have data."""

    type: Literal["Joined"] = "Joined"
    hospital: Name
    """Who says it; the signature must be this hospital's."""
    config_digest: Digest
    """Of the job's spec: who has another one does not take part."""
    roster_digest: Digest
    """Of the roster: who has another one does not take part."""
    samples: Count
    """Records in the training split."""
    version: Annotated[str, Field(max_length=32)]
    """Of Consilia, at the hospital."""


class Left(Message):
    """Hospital: I cannot take part (any more). The details stay in the hospital's own logs."""

    type: Literal["Left"] = "Left"
    hospital: Name
    """Who says it; the signature must be this hospital's."""
    reason: LeaveReason
    """Why, in one word: an error's own words may quote a record."""


class Update(Message):
    """Hospital: what I learned in this round; the payload follows in chunks."""

    type: Literal["Update"] = "Update"
    hospital: Name
    """Who says it; the signature must be this hospital's."""
    round: Round
    """The round it was trained in."""
    base_digest: Digest
    """Of the model file it was trained from."""
    config_digest: Digest
    """Of the job's spec: who has another one does not take part."""
    roster_digest: Digest
    """Of the roster: who has another one does not take part."""
    samples: Annotated[int, Field(ge=1, le=2**40)]
    """Records trained on: the update's weight."""
    codec: Literal["None"] = "None"
    """How the payload is compressed: not at all."""
    encoding: Literal["Parameters"] = "Parameters"
    """The payload holds the trained parameters themselves, not a difference: see docs/decisions/0004."""
    payload: Payload
    """The trained model's file."""
    metrics: Metrics = {}
    """The base model's, on this hospital's test split; only those that the job asks for."""
    image_digest: Digest | None = None
    """Of the container image that trained; absent in a local run."""
    train_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """How long training took, in seconds; 0 under differential privacy, which time is no part of."""
    epsilon: Epsilon | None = None
    """What the job has spent of this hospital's privacy, this update included; absent without differential privacy."""
    ledger: LedgerHead | None = None
    """The hospital's ledger when this update was charged."""


class Evaluated(Message):
    """Hospital: the metrics of a model on my test split."""

    type: Literal["Evaluated"] = "Evaluated"
    hospital: Name
    """Who says it; the signature must be this hospital's."""
    round: Round
    """The number of rounds the model has seen."""
    model_digest: Digest
    """Of the model file that was judged."""
    metrics: Metrics
    """On this hospital's test split; only those that the job asks for."""


class RoundOpened(Message):
    """Aggregator: train from this model and send your update before the deadline."""

    type: Literal["RoundOpened"] = "RoundOpened"
    round: Round
    """Counted from 1."""
    model: Payload
    """The model file to train from; it lies on the model topic."""
    config_digest: Digest
    """Of the job's spec: who has another one does not take part."""
    roster_digest: Digest
    """Of the roster: who has another one does not take part."""
    hospitals: list[Name]
    """Whose updates the round waits for."""
    deadline: float
    """In seconds since the epoch, by the aggregator's clock."""


class RoundExtended(Message):
    """Aggregator: the deadline has passed below quorum; these are missing."""

    type: Literal["RoundExtended"] = "RoundExtended"
    round: Round
    """The round that goes on."""
    missing: list[Name]
    """Who has sent no update yet."""
    extension: Count
    """Counted from 1."""
    deadline: float
    """The new one, in seconds since the epoch."""


class CountedUpdate(BaseModel):
    """One update that is part of a round's result."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    hospital: Name
    """Whose it is."""
    sha256: Digest
    """Of the payload."""
    samples: Count
    """Its weight."""
    metrics: Metrics = {}
    """As the update said."""
    train_seconds: float = 0.0
    """As the update said."""
    epsilon: Epsilon | None = None
    """As the update said."""
    ledger: LedgerHead | None = None
    """As the update said."""


class RefusedUpdate(BaseModel):
    """One message that was refused, for the record."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    hospital: Name
    """On whose topic it was."""
    reason: Refusal
    """By which rule."""
    message: Annotated[str, Field(max_length=512)]
    """In words."""


class RoundClosed(Message):
    """Aggregator: the round's result."""

    type: Literal["RoundClosed"] = "RoundClosed"
    round: Round
    """The round that is over."""
    model: Payload
    """The new global model."""
    cohort: list[CountedUpdate]
    """The updates that count, by the hospitals' names."""
    refused: list[RefusedUpdate] = []
    """Messages refused since the last round closed."""
    dropped: list[Name] = []
    """Waited for, but not there at the deadline."""
    present: list[Name] = []
    """Hospitals that the next round waits for."""
    left: dict[Name, LeaveReason] = {}
    """Hospitals that said that they cannot take part."""
    metrics: Metrics = {}
    """Of the round's base model: means over hospitals, weighted by samples."""
    seconds: dict[str, float] = {}
    """How long each phase took; so far `aggregate` only, from reading the updates to writing the new model."""
    received_bytes: Count = 0
    """Payload bytes of the updates that count."""


class EvaluationOpened(Message):
    """Aggregator: training is over; report the metrics of this, the final model."""

    type: Literal["EvaluationOpened"] = "EvaluationOpened"
    round: Round
    """The last round."""
    model: Payload
    """The final model's file."""
    hospitals: list[Name]
    """Whose metrics are waited for."""
    deadline: float
    """In seconds since the epoch, by the aggregator's clock."""


class JobFinished(Message):
    """Aggregator: the last word."""

    type: Literal["JobFinished"] = "JobFinished"
    outcome: Literal["Succeeded", "Failed"]
    """Whether the job did what it was asked for."""
    reason: Annotated[str, Field(max_length=63)]
    """In one word: `AllRounds`, `StopCondition`, `BudgetExhausted`, or the kind of error."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Of a job that failed: what happened, and the way out."""
    rounds: Count
    """How many were closed."""
    model: Payload | None = None
    """The final model's file, or the last round's; absent where no round was closed."""
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


def claimed(record: Record, *, job: str) -> FromAggregator:
    """The message in `record` off the rounds topic, whoever signed it: for who has no roster, and trusts the log alone.

    Raises:
        RefusedMessage: malformed, or another job's.
    """
    return _parse(record, _FROM_AGGREGATOR, "the aggregator", job)


def _decode(record: Record, adapter: TypeAdapter[_T], sender: str, key: PublicKey, job: str) -> _T:
    """Signature first: nothing unsigned is parsed."""
    if not key.signed(record.value, _signature(record.headers)):
        raise RefusedMessage(Refusal.FORGED, f"{_where(record)} is not signed by {sender}")
    return _parse(record, adapter, sender, job)


def _parse(record: Record, adapter: TypeAdapter[_T], sender: str, job: str) -> _T:
    where = _where(record)
    try:
        message = adapter.validate_json(bytes(record.value), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise RefusedMessage(Refusal.MALFORMED, f"{where} from {sender}: {path}: {first['msg']}") from error
    if message.job != job:
        raise RefusedMessage(Refusal.WRONG_JOB, f"{where} from {sender} is for the job {message.job}, not {job}")
    return message


def _where(record: Record) -> str:
    return f"offset {record.offset} of {record.topic}"


def _signature(headers: Mapping[str, str]) -> str:
    return headers.get(SIGNATURE, "")
