"""What hub and hospital say to each other beside the rounds: offers of jobs, and reports of what came of them.

Each message tells a whole state, not a change: of all with one key the newest holds, so whoever was away for a day
reads on and knows. Whom it is from and for, how new it is and how long it holds are part of what is signed: the log
that carries it is trusted with nothing but to be there.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from consilia.errors import CorrespondenceError, Objection
from consilia.log import Record
from consilia.wire.identity import OFFER, REPORT, Identity, PublicKey, canonical
from consilia.wire.messages import SIGNATURE, Count, LedgerHead, Name

SKEW_SECONDS = 300.0
"""How far two clocks may be apart."""
REPORT_KEY, HANDOUT_KEY = "report", "bundle"
"""Of all reports on a hospital's topic; of all that is handed out to it."""
TASKS_AT_MOST = 256
"""In one report."""

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Since the epoch."""
HubName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,125}[a-z0-9])?$")]
Short = Annotated[str, Field(max_length=253)]
Words = Annotated[str, Field(max_length=512)]
Uid = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class _Told(BaseModel):
    """A hub passes over what a newer hospital tells and it does not know yet."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Letter(BaseModel):
    """What all of them have in common.

    A hospital does nothing of which it does not understand every word.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    hub: HubName
    """Which hub: its name as the hospital was given it."""
    hospital: Name
    """Which hospital."""
    serial: Count
    """Greater than that of everything that the sender said to the receiver before."""
    issued: Seconds
    """When it was said, by the sender's clock."""


class Offer(Letter):
    """Hub: would you train in this job? Or, with `suspend`: not now."""

    type: Literal["Offer"] = "Offer"
    uid: Uid
    """The job's uid, and the record's key."""
    expires: Seconds
    """Until when it holds; a hub that is there says it again in time."""
    job: dict[str, Any]
    """The FederatedJob, as all its parties are told it."""
    roster: dict[str, Any]
    """Who takes part, with their keys."""
    suspend: bool = False
    """Take no part for the time being."""


class Recall(Letter):
    """Hub: the job is gone; let go of all that was made for it."""

    type: Literal["Recall"] = "Recall"
    uid: Uid
    """The job's uid, and the record's key."""


class Handout(Letter):
    """Hub: this is your way to the log from now on."""

    type: Literal["Handout"] = "Handout"
    bundle: dict[str, Any]
    """A `JoinBundle`: what the hospital was handed when it joined, and what takes its place."""


class ReportedCondition(_Told):
    """A condition of a HospitalTask."""

    type: Annotated[str, Field(pattern=r"^[A-Za-z]{1,63}$")]
    """Which."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(pattern=r"^[A-Za-z]{1,63}$")]
    """Why, in one word."""
    message: Words = ""
    """Why, as much of it as the hospital lets others know."""
    last_transition_time: Annotated[str, Field(pattern=r"^[0-9TZ:.+-]{20,35}$")]
    """Since when."""


class TaskReport(_Told):
    """What came of one offer."""

    uid: Uid
    """The job's uid."""
    conditions: Annotated[tuple[ReportedCondition, ...], Field(max_length=16)] = ()
    """As the HospitalTask has them."""
    state: Short = ""
    """The condition that matters most now."""
    message: Words = ""
    """Why, as much of it as the hospital lets others know."""
    round: Count | None = None
    """The last round that an update was sent for."""
    epsilon_spent: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]*)(\.[0-9]+)?$", max_length=32)] | None = None
    """What the job has spent here."""
    epsilon_reserved: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]*)(\.[0-9]+)?$", max_length=32)] | None = None
    """What is kept for the rest of it."""


class ReportedDataset(_Told):
    """A data set that the hospital lets the hub know of."""

    name: Name
    """The logical name."""
    unit: Literal["Record", "Patient"]
    """What its budget protects."""
    size: Short | None = None
    """How many records it has, as a range."""


class ReportedGpus(_Told):
    """GPUs of one kind."""

    product: Short
    """The kind."""
    count: Annotated[int, Field(ge=0, le=100_000)]
    """How many the hospital offers."""


class Report(Letter):
    """Hospital: I am here, and this is how it stands."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    type: Literal["Report"] = "Report"
    version: Annotated[str, Field(max_length=32)]
    """Of Consilia, at the hospital."""
    heard: Count
    """The serial of the newest message of the hub's that was heard."""
    interval: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
    """In so many seconds, at the latest, comes the next one."""
    datasets: Annotated[tuple[ReportedDataset, ...], Field(max_length=256)] = ()
    """What the hospital offers."""
    gpus: Annotated[tuple[ReportedGpus, ...], Field(max_length=32)] = ()
    """What trains there."""
    ledger: LedgerHead | None = None
    """Where its ledger ends."""
    tasks: Annotated[tuple[TaskReport, ...], Field(max_length=TASKS_AT_MOST)] = ()
    """Every offer that stands."""
    certificate_request: Annotated[str, Field(max_length=8192)] | None = None
    """For the next certificate, in PEM form, when the one that it has ends soon; its key stays in the hospital."""
    refused: Annotated[dict[Annotated[str, Field(max_length=32)], Count], Field(max_length=32)] = {}
    """How many letters in the hub's name were not believed, by `Objection`: somebody may be forging them."""


FromHub = Offer | Recall | Handout

_FROM_HUB: TypeAdapter[FromHub] = TypeAdapter(Annotated[FromHub, Field(discriminator="type")])
_REPORT: TypeAdapter[Report] = TypeAdapter(Report)
_T = TypeVar("_T", bound=Letter)


def key_of(letter: FromHub | Report) -> str:
    """Of the record that carries it."""
    match letter:
        case Report():
            return REPORT_KEY
        case Handout():
            return HANDOUT_KEY
    return letter.uid


def write(letter: FromHub | Report, identity: Identity) -> tuple[bytes, dict[str, str]]:
    """The value and the headers of the record that carries it, signed."""
    body = canonical(letter.model_dump(mode="json", by_alias=True, exclude_none=True))
    purpose = REPORT if isinstance(letter, Report) else OFFER
    return body, {SIGNATURE: identity.sign(body, purpose=purpose)}


def read_offer(record: Record, *, hub: str, key: PublicKey, hospital: str, now: float) -> FromHub:
    """What the hub says in `record`, to this hospital.

    Raises:
        CorrespondenceError: it is not to be believed, or not (any more) valid.
    """
    letter = _opened(record, _FROM_HUB, key, OFFER, f"the hub {hub}")
    _require_between(letter, hub, hospital, record)
    _require_time(letter, now, record)
    if isinstance(letter, Offer):
        if letter.expires <= now - SKEW_SECONDS:
            message = f"{_where(record)}: the offer of job {letter.uid} has expired."
            raise CorrespondenceError(Objection.EXPIRED, message)
        if letter.job.get("metadata", {}).get("uid") != letter.uid:
            message = f"{_where(record)}: the offer of job {letter.uid} holds another job."
            raise CorrespondenceError(Objection.MALFORMED, message)
    return letter


def read_report(record: Record, *, hub: str, key: PublicKey, hospital: str, now: float) -> Report:
    """What the hospital says in `record`, to this hub.

    Raises:
        CorrespondenceError: it is not to be believed.
    """
    report = _opened(record, _REPORT, key, REPORT, hospital)
    _require_between(report, hub, hospital, record)
    _require_time(report, now, record)
    return report


def _opened(record: Record, adapter: TypeAdapter[_T], key: PublicKey, purpose: bytes, sender: str) -> _T:
    """Signature first: nothing unsigned is parsed."""
    where = _where(record)
    if not key.signed(record.value, _signature(record.headers), purpose=purpose):
        raise CorrespondenceError(Objection.FORGED, f"{where} is not signed by {sender}.")
    try:
        letter = adapter.validate_json(bytes(record.value), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        newer = " Is its version newer than ours?" if first["type"] in {"extra_forbidden", "union_tag_invalid"} else ""
        message = f"{where} from {sender}: {path}: {first['msg']}.{newer}"
        raise CorrespondenceError(Objection.MALFORMED, message) from error
    assert isinstance(letter, Report | Offer | Recall | Handout)
    if record.key != key_of(letter):
        message = f"{where} from {sender} has the key of something else."
        raise CorrespondenceError(Objection.MALFORMED, message)
    return letter


def _require_between(letter: Letter, hub: str, hospital: str, record: Record) -> None:
    if letter.hub != hub:
        message = f"{_where(record)} is between {hospital} and the hub {letter.hub}, not {hub}."
        raise CorrespondenceError(Objection.OTHER_HUB, message)
    if letter.hospital != hospital:
        message = f"{_where(record)} is between the hub and {letter.hospital}, not {hospital}."
        raise CorrespondenceError(Objection.OTHER_HOSPITAL, message)


def _require_time(letter: Letter, now: float, record: Record) -> None:
    if letter.issued > now + SKEW_SECONDS:
        ahead = letter.issued - now
        message = f"{_where(record)} was said {ahead:.0f} s from now: one of the clocks is wrong."
        raise CorrespondenceError(Objection.FROM_THE_FUTURE, message)


def _signature(headers: Mapping[str, str]) -> str:
    return headers.get(SIGNATURE, "")


def _where(record: Record) -> str:
    return f"offset {record.offset} of {record.topic}"
