"""What a ledger's lines say. One line an entry: canonical JSON (RFC 8785), chained by digests and signed."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from consilia.api.privacy import Unit
from consilia.api.scalars import Delta, Message, PositiveDecimal, Sha256, ShortText
from consilia.privacy.mechanisms import Mechanism

Count = Annotated[int, Field(ge=0, lt=2**53)]
AccountName = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""A data set's account, whatever the data set is called: sixteen random hexadecimal digits."""
JobName = Annotated[str, Field(min_length=1, max_length=127)]
"""The job's name on the log."""
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
"""UTC, to the second."""
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Entry(BaseModel):
    """What all entries have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    number: Count = 0
    """Counted from 1."""
    at: Moment = "1970-01-01T00:00:00Z"
    """When it was written, by the hospital's clock."""
    previous: Sha256 = "sha256:" + "0" * 64
    """Digest of the entry before; of the first one, zeros."""


class Begun(Entry):
    """The first entry."""

    type: Literal["Begun"] = "Begun"
    hospital: ShortText
    """Whose ledger it is."""
    public_key: Annotated[str, Field(max_length=1024)]
    """The key that signs it, in PEM form."""


class KeyReplaced(Entry):
    """From the next entry on another key signs; the old one signs this."""

    type: Literal["KeyReplaced"] = "KeyReplaced"
    public_key: Annotated[str, Field(max_length=1024)]
    """The new key, in PEM form."""


class AccountOpened(Entry):
    """A data set is new here."""

    type: Literal["AccountOpened"] = "AccountOpened"
    account: AccountName
    unit: Unit
    """Whose presence its budget hides."""


class DatasetSeen(Entry):
    """A data set was looked at: its name, its content, or both are new to the account."""

    type: Literal["DatasetSeen"] = "DatasetSeen"
    account: AccountName
    dataset: ShortText
    """What it is called."""
    fingerprint: Sha256
    """Digest of all of its content, keyed with the ledger's own secret."""
    pieces: Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]], Field(max_length=1024)] = []
    """A sample of its pieces, by keyed digests: data that grew or was corrected is known by it."""


class AccountsJoined(Entry):
    """Two accounts turned out to be about the same data: from now on what was spent from either counts for both."""

    type: Literal["AccountsJoined"] = "AccountsJoined"
    account: AccountName
    """The one that goes on."""
    joined: AccountName
    """The one that is closed."""


class BudgetSet(Entry):
    """The most that all jobs together may ever spend."""

    type: Literal["BudgetSet"] = "BudgetSet"
    account: AccountName
    epsilon: PositiveDecimal
    delta: Delta
    epsilon_per_job: PositiveDecimal | None = None
    approved_by: ShortText = ""
    """Who agreed to more than before; empty where it is not more."""
    reason: ShortText = ""
    after_gap: Count | None = None
    """The number of the `GapAccepted` that the approval knows of: only then is it trusted after that loss."""


class Promised(Entry):
    """A job was admitted: its releases are kept for it until it ends, or nobody asks for it any more."""

    type: Literal["Promised"] = "Promised"
    account: AccountName
    job: JobName
    releases: Annotated[list[Mechanism], Field(max_length=16)]
    """All of the job's."""
    epsilon: PositiveDecimal | None = None
    """What the job promised to spend at most, repeated attempts included; absent where it named its noise instead."""
    delta: Delta
    """The δ that goes with it."""
    until: Moment
    """The lease: then the rest is free again, unless it was renewed or something was charged from it since."""


class Renewed(Entry):
    """The job is still wanted."""

    type: Literal["Renewed"] = "Renewed"
    account: AccountName
    job: JobName
    until: Moment


class Reserved(Entry):
    """One release is charged, before what it needs is computed. It stays spent whatever happens next."""

    type: Literal["Reserved"] = "Reserved"
    account: AccountName
    job: JobName
    round: Count
    purpose: Literal["Training", "Evaluation"]
    attempt: Annotated[int, Field(ge=1, lt=2**53)]
    """How often this release was charged, this one included: what was interrupted is charged again."""
    mechanism: Mechanism
    nonce: Nonce
    """Whoever asks again because no answer came, with the same nonce, is not charged twice."""


class Committed(Entry):
    """What was released under a charge: these bytes, and no others."""

    type: Literal["Committed"] = "Committed"
    account: AccountName
    job: JobName
    reservation: Count
    """The number of the `Reserved` entry."""
    output: Sha256
    """Digest of what was released."""


class Returned(Entry):
    """What was promised to the job and not used is free again."""

    type: Literal["Returned"] = "Returned"
    account: AccountName
    job: JobName
    reason: Literal["Finished", "Expired", "Withdrawn"]


class Denied(Entry):
    """The budget did not afford what was asked."""

    type: Literal["Denied"] = "Denied"
    account: AccountName
    job: JobName
    asked: Literal["Job", "Round"]
    """All of a job, or one release."""
    by_job: bool
    """Whether the job's own promise, or what one job may spend, is spent, and not the data set's budget."""
    reason: Message


class GapAccepted(Entry):
    """Entries were lost, or what is here is older than what others have seen: every budget counts as spent.

    Only a budget that somebody approves afterwards affords anything again. One entry for each head that others have
    seen and that is missing: no other one is taken for accounted for.
    """

    type: Literal["GapAccepted"] = "GapAccepted"
    entries: Count
    """How many entries the ledger is known to have had."""
    head: Sha256
    """The digest of the last of them."""
    by: ShortText
    """Who looked into it."""
    reason: ShortText


AnyEntry = (
    Begun
    | KeyReplaced
    | AccountOpened
    | DatasetSeen
    | AccountsJoined
    | BudgetSet
    | Promised
    | Renewed
    | Reserved
    | Committed
    | Returned
    | Denied
    | GapAccepted
)
ENTRY: TypeAdapter[AnyEntry] = TypeAdapter(Annotated[AnyEntry, Field(discriminator="type")])
