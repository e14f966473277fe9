"""What is said between a ledger and whoever asks it over a network: questions and answers, each in a signed letter.

A letter is the canonical JSON (RFC 8785) of `{"body": TEXT, "signature": BASE64}`. Both sides sign with the hospital's
key, for this purpose only. A question names the hospital, the time, a random number of its own and the session of the
ledger's process; an answer names the digest of the question. So nothing can be forged, altered, or said again. Nothing
needs to be hidden but the content key, which is encrypted for the one who asked.
"""

import base64
import json
from typing import Annotated, Literal, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from consilia.api import HospitalTaskSpec
from consilia.api.privacy import Unit
from consilia.api.scalars import Delta, PositiveDecimal, Sha256, ShortText
from consilia.errors import BudgetError, LedgerError, LedgerRefusedError, ManifestError
from consilia.ledger.chain import Head
from consilia.ledger.content import PIECES
from consilia.ledger.entries import Count, JobName, Nonce
from consilia.ledger.interface import Charge, Purpose, Statement
from consilia.privacy.mechanisms import Mechanism
from consilia.privacy.plan import JobPlan
from consilia.wire.identity import LEDGER_ANSWER, LEDGER_REQUEST, Identity, PublicKey, canonical

LEDGER_PORT = 8085
"""Where a ledger answers, if nobody says otherwise."""
LONGEST = 1 << 20
"""So many bytes may a letter have."""
HEADS_AT_MOST = 1024
"""So many heads are compared with one question."""
_CONTENT_KEY = b"consilia.dev/v1alpha1 ledger content key\n"
_STEPS_AT_MOST = 1_000_000_000
"""As many as a line of the ledger can say."""
_TEN_YEARS = 10 * 365 * 86400
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
"""32 bytes in base64."""
Sealed = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]{64}$")]
"""32 bytes and a tag of 16, in base64."""


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True,
                              ser_json_inf_nan="strings")  # fmt: skip


def _fits_a_line(plan: JobPlan) -> JobPlan:
    """The plan itself, if the ledger can write it down and read it again."""
    evaluating = plan.evaluations * plan.evaluation.steps if plan.evaluation else 0
    steps = max(plan.rounds * plan.training.steps, evaluating)
    if min(plan.rounds, plan.evaluations) < 0 or steps > _STEPS_AT_MOST:
        raise ValueError(f"a job must have at most {_STEPS_AT_MOST} steps")
    if not (1e-99 <= plan.delta < 1 and (plan.epsilon is None or 1e-99 <= plan.epsilon < 1e99)):
        raise ValueError("a job must promise an ε above 0, and a δ between 0 and 1")
    return plan


Plan = Annotated[JobPlan, AfterValidator(_fits_a_line)]


class Done(_Said):
    """It is done, and there is nothing to say about it."""

    type: Literal["Done"] = "Done"


class AccountNamed(_Said):
    """An account, or none."""

    type: Literal["AccountNamed"] = "AccountNamed"
    account: ShortText | None


class RoundsAfforded(_Said):
    """So many rounds."""

    type: Literal["RoundsAfforded"] = "RoundsAfforded"
    rounds: Count


class Charged(_Said):
    """A release is paid for."""

    type: Literal["Charged"] = "Charged"
    charge: Charge


class Planned(_Said):
    """What a job will ask of the budget."""

    type: Literal["Planned"] = "Planned"
    plan: JobPlan


class HeadTold(_Said):
    """Where the ledger ends."""

    type: Literal["HeadTold"] = "HeadTold"
    head: Head


class StatesTold(_Said):
    """Where one account stands, or all."""

    type: Literal["StatesTold"] = "StatesTold"
    statements: tuple[Statement, ...]


class ContentKeyTold(_Said):
    """The content key, which only the one who asked can read."""

    type: Literal["ContentKeyTold"] = "ContentKeyTold"
    public_key: Key
    """The ledger's half of the exchange, made for this answer."""
    sealed: Sealed


class Refused(_Said):
    """An error, with everything that it says where it is raised."""

    type: Literal["Refused"] = "Refused"
    kind: Literal["Budget", "Ledger", "Unusable", "Manifest", "BadRequest"]
    message: str
    remedy: str = ""
    affords: Count = 0
    by_job: bool = False

    @classmethod
    def of(cls, error: BudgetError | LedgerError | ManifestError) -> Self:
        """From the error."""
        if isinstance(error, BudgetError):
            return cls(kind="Budget", message=error.message, remedy=error.remedy, affords=error.affords,
                       by_job=error.by_job)  # fmt: skip
        if isinstance(error, LedgerRefusedError):
            return cls(kind="Unusable", message=error.message, remedy=error.remedy)
        kind: Literal["Ledger", "Manifest"] = "Ledger" if isinstance(error, LedgerError) else "Manifest"
        return cls(kind=kind, message=error.message, remedy=error.remedy)

    def error(self) -> BudgetError | LedgerError | ManifestError:
        """The error again."""
        if self.kind == "Manifest":
            return ManifestError(self.message, remedy=self.remedy)
        if self.kind == "Budget":
            return BudgetError(self.message, remedy=self.remedy, affords=self.affords, by_job=self.by_job)
        kind = LedgerError if self.kind == "Ledger" else LedgerRefusedError
        return kind(self.message, remedy=self.remedy)


class NewSession(_Said):
    """Nothing was done: the question was for another process of the ledger's. Ask again, in this session."""

    type: Literal["NewSession"] = "NewSession"
    session: Nonce


Answer = (
    Done | AccountNamed | RoundsAfforded | Planned | Charged | HeadTold | StatesTold | ContentKeyTold | Refused
    | NewSession
)  # fmt: skip


class Register(_Said):
    """`PrivacyLedger.register`."""

    type: Literal["Register"] = "Register"
    dataset: ShortText
    fingerprint: Sha256
    pieces: Annotated[tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")], ...], Field(max_length=PIECES)] = ()
    unit: Unit


class Find(_Said):
    """`PrivacyLedger.find`."""

    type: Literal["Find"] = "Find"
    dataset: ShortText


class SetBudget(_Said):
    """`PrivacyLedger.set_budget`."""

    type: Literal["SetBudget"] = "SetBudget"
    account: ShortText
    epsilon: PositiveDecimal
    delta: Delta
    epsilon_per_job: PositiveDecimal | None = None
    approved_by: ShortText = ""
    reason: ShortText = ""
    after_gap: Count | None = None


class Admit(_Said):
    """`PrivacyLedger.admit`."""

    type: Literal["Admit"] = "Admit"
    account: ShortText
    job: JobName
    plan: Plan
    lease_seconds: Annotated[float, Field(ge=-_TEN_YEARS, le=_TEN_YEARS)]


class Affords(_Said):
    """`PrivacyLedger.affords`."""

    type: Literal["Affords"] = "Affords"
    account: ShortText
    job: JobName
    plan: Plan


class PlanAsked(_Said):
    """`PrivacyLedger.plan`."""

    type: Literal["PlanAsked"] = "PlanAsked"
    spec: HospitalTaskSpec
    units: Annotated[int, Field(ge=1, le=2**40)]


class Reserve(_Said):
    """`PrivacyLedger.reserve`."""

    type: Literal["Reserve"] = "Reserve"
    account: ShortText
    job: JobName
    round: Count
    mechanism: Mechanism
    charge_nonce: Nonce
    """The caller's own: it outlives the letter's, which is another one whenever the question is asked anew."""
    purpose: Purpose


class Commit(_Said):
    """`PrivacyLedger.commit`."""

    type: Literal["Commit"] = "Commit"
    reservation: Count
    output: Sha256


class GiveBack(_Said):
    """`PrivacyLedger.give_back`."""

    type: Literal["GiveBack"] = "GiveBack"
    account: ShortText
    job: JobName
    reason: Literal["Finished", "Withdrawn"]


class State(_Said):
    """`PrivacyLedger.state`."""

    type: Literal["State"] = "State"
    account: ShortText
    job: Annotated[str, Field(max_length=127)] = ""


class AllStates(_Said):
    """`PrivacyLedger.statements`."""

    type: Literal["AllStates"] = "AllStates"


class HeadAsked(_Said):
    """`PrivacyLedger.head`."""

    type: Literal["HeadAsked"] = "HeadAsked"


class Compare(_Said):
    """`PrivacyLedger.compare`."""

    type: Literal["Compare"] = "Compare"
    seen: Annotated[tuple[Head, ...], Field(max_length=HEADS_AT_MOST)]


class ContentKeyAsked(_Said):
    """`PrivacyLedger.content_key`."""

    type: Literal["ContentKeyAsked"] = "ContentKeyAsked"
    public_key: Key
    """The asker's half of the exchange, made for this question."""


Question = Annotated[
    Register | Find | SetBudget | PlanAsked | Admit | Affords | Reserve | Commit | GiveBack | State | AllStates
    | HeadAsked | Compare | ContentKeyAsked,
    Field(discriminator="type"),
]  # fmt: skip


class Asked(_Said):
    """The body of a letter to a ledger."""

    hospital: ShortText
    asked: Annotated[float, Field(ge=0, lt=2**33)]
    """When, in seconds since 1970, by the asker's clock."""
    nonce: Nonce
    """Of this letter alone: the ledger answers it once, and says the same to whoever sends the same letter again."""
    session: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]
    """The ledger's process that the question is for, as it names itself; empty if that is not known yet."""
    question: Question


class Answered(_Said):
    """The body of a ledger's letter."""

    to: Sha256
    """Digest of the body that it answers."""
    answer: Answer = Field(discriminator="type")


def letter(said: Asked | Answered, identity: Identity) -> tuple[str, bytes]:
    """The body, and the letter that holds it.

    Raises:
        ValueError: it is too long.
    """
    body = canonical(json.loads(said.model_dump_json(by_alias=True)))
    signature = identity.sign(body, purpose=_purpose(type(said)))
    whole = canonical({"body": body.decode(), "signature": signature})
    if len(whole) > LONGEST:
        raise ValueError(f"it has {len(whole)} bytes, and a letter at most {LONGEST}")
    return body.decode(), whole


def body_of(data: bytes, key: PublicKey, kind: type[Asked | Answered]) -> str:
    """The body of a letter: nothing of it is looked at before its length and its signature are.

    Raises:
        ValueError: it is no letter, or not signed with that key.
    """
    if len(data) > LONGEST:
        raise ValueError(f"it has more than {LONGEST} bytes")
    try:
        found = json.loads(data.decode())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    match found:
        case {"body": str(body), "signature": str(signature), **rest} if not rest:
            if key.signed(body.encode(), signature, purpose=_purpose(kind)):
                return body
            raise ValueError("it is not signed with the hospital's key")
    raise ValueError("it has no text with a signature")


def _purpose(kind: type[Asked | Answered]) -> bytes:
    return LEDGER_REQUEST if kind is Asked else LEDGER_ANSWER


def seal(secret: bytes, asker: str) -> ContentKeyTold:
    """The secret for the holder of the private half of `asker`.

    Raises:
        ValueError: `asker` is a key with which anybody could read it.
    """
    ours = X25519PrivateKey.generate()
    public = ours.public_key().public_bytes_raw()
    # Each key encrypts once: both halves are made for it. So the nonce may be the same always.
    sealed = _cipher(ours, base64.b64decode(asker), base64.b64decode(asker) + public).encrypt(bytes(12), secret, None)
    return ContentKeyTold(public_key=base64.b64encode(public).decode(), sealed=base64.b64encode(sealed).decode())


def unseal(told: ContentKeyTold, ours: X25519PrivateKey) -> bytes:
    """The secret that was sealed for the public half of `ours`.

    Raises:
        ValueError: it was not.
    """
    theirs, public = base64.b64decode(told.public_key), ours.public_key().public_bytes_raw()
    try:
        return _cipher(ours, theirs, public + theirs).decrypt(bytes(12), base64.b64decode(told.sealed), None)
    except InvalidTag as error:
        raise ValueError("it is sealed for somebody else") from error


def _cipher(ours: X25519PrivateKey, theirs: bytes, both: bytes) -> ChaCha20Poly1305:
    shared = ours.exchange(X25519PublicKey.from_public_bytes(theirs))
    return ChaCha20Poly1305(HKDF(SHA256(), 32, salt=None, info=_CONTENT_KEY + both).derive(shared))
