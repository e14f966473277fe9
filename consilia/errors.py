"""Every error that Consilia raises on purpose.

ConsiliaError
├── PermanentError            trying again changes nothing: somebody must act
│   ├── ManifestError         a job, hospital or dataset file breaks a rule
│   ├── NotSupportedYet       a field or value whose feature this version lacks
│   ├── TaskError             the data scientist's code is missing, misshapen or failed
│   ├── DataError             a dataset is absent, damaged or not what the task expects
│   ├── IdentityError         a key is missing, unreadable or not the one on the roster
│   ├── RefusedMessage        a message off the log breaks a rule (carries a `Refusal`)
│   ├── CorrespondenceError   a message between hub and hospital is not to be believed (carries an `Objection`)
│   ├── DivergedError         training produced NaN or infinity
│   ├── QuorumError           too few hospitals, and the rule says stop
│   ├── BudgetError           a privacy budget does not afford what is asked
│   ├── LedgerError           a ledger was changed, cut or rolled back
│   │   └── LedgerRefusedError  a ledger cannot be used, and nothing tells that it was changed
│   ├── RunError              a local run cannot start or go on as asked
│   ├── BrokerError           Kafka cannot be had, started or kept running on this machine
│   ├── LogError              the log is damaged, of a newer version, or asked for what it cannot do
│   ├── LogAccessError        the log does not let this party in, or not do what it asks
│   ├── FencedError           a newer process of the same name has taken over
│   └── RecordGoneError       a record was compacted or trimmed away before it was read
└── TemporaryError            the same call may succeed later
    ├── LedgerUnavailableError  the ledger cannot be reached now
    └── LogUnavailableError   the log cannot be reached or is locked

Each message says what happened, to which object, and what to do about it.
"""

from enum import StrEnum


class ConsiliaError(Exception):
    """The root: catching it catches everything that Consilia raises on purpose."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        """`message` names what and which object; `remedy` is the way out, one imperative sentence."""
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message} {remedy}".strip())


class PermanentError(ConsiliaError):
    """Trying again changes nothing: somebody must act."""


class TemporaryError(ConsiliaError):
    """The same call may succeed later."""


class ManifestError(PermanentError):
    """A job, hospital or dataset file breaks a rule."""


class NotSupportedYet(PermanentError):  # noqa: N818 (the words a user reads in the message)
    """A field or value whose feature this version lacks: refused, never ignored."""


class TaskError(PermanentError):
    """The data scientist's code is missing, misshapen or failed."""


class DataError(PermanentError):
    """A dataset is absent, damaged or not what the task expects."""


class IdentityError(PermanentError):
    """A key is missing, unreadable or not the one on the roster."""


class Refusal(StrEnum):
    """Why a message was refused; the label of `consilia_updates_rejected_total{reason}`."""

    FORGED = "Forged"
    """The signature is missing or not that of the party whose topic the message is on, or it names another party."""
    MALFORMED = "Malformed"
    """The message has no valid fields, or one is out of its range."""
    NOT_ON_ROSTER = "NotOnRoster"
    """The sender does not belong to the job."""
    WRONG_JOB = "WrongJob"
    """The message is for another job, or for this job under another configuration or roster."""
    WRONG_BASE = "WrongBase"
    """The update was trained from another model than the round's."""
    WRONG_LAYOUT = "WrongLayout"
    """The tensors' names, dtypes, shapes or order differ from the model's."""
    WRONG_DIGEST = "WrongDigest"
    """The payload's bytes are not the ones whose digest was signed."""
    TRUNCATED = "Truncated"
    """The payload ended too early."""
    OVERSIZED = "Oversized"
    """The payload, or one chunk of it, is longer than the model's."""
    NOT_FINITE = "NotFinite"
    """The payload holds NaN or infinity."""
    STALE = "Stale"
    """The update is for a round that is not open: closed already, or never opened."""
    CONFLICTING = "Conflicting"
    """The update is a second, different one for the same round."""


class RefusedMessage(PermanentError):  # noqa: N818 (a refusal is an expected outcome, not a fault)
    """A message off the log breaks a rule."""

    def __init__(self, reason: Refusal, message: str, *, remedy: str = "") -> None:
        """`reason` is what gets counted and recorded; `message` names sender, round and the rule."""
        self.reason = reason
        super().__init__(message, remedy=remedy)


class Objection(StrEnum):
    """Why a message between hub and hospital was not believed; label of `consilia_letters_refused_total{reason}`."""

    FORGED = "Forged"
    """The signature is missing or not that of the party that it should be from."""
    MALFORMED = "Malformed"
    """It has no valid fields, or contradicts itself."""
    OTHER_HUB = "OtherHub"
    """It is between the hospital and another hub."""
    OTHER_HOSPITAL = "OtherHospital"
    """It is between the hub and another hospital."""
    EXPIRED = "Expired"
    """It was valid once."""
    FROM_THE_FUTURE = "FromTheFuture"
    """It was said later than now: one of the clocks is wrong."""
    REPLAYED = "Replayed"
    """Something newer was said before."""
    CHANGED = "Changed"
    """What was offered once is offered as something else."""
    TOO_MANY = "TooMany"
    """More is offered at one time than a hospital takes of one hub."""


class CorrespondenceError(PermanentError):
    """A message between hub and hospital is not to be believed."""

    def __init__(self, objection: Objection, message: str, *, remedy: str = "") -> None:
        """`objection` is what gets counted; `message` names the record and the rule."""
        self.objection = objection
        super().__init__(message, remedy=remedy)


class DivergedError(PermanentError):
    """Training produced NaN or infinity."""


class QuorumError(PermanentError):
    """Too few hospitals, and the rule says stop."""


class BudgetError(PermanentError):
    """A privacy budget does not afford what is asked."""

    def __init__(self, message: str, *, remedy: str = "", affords: int = 0, by_job: bool = False) -> None:
        """`affords` is how many rounds it would have paid for; `by_job` whether the job's own promise is spent."""
        self.affords = affords
        self.by_job = by_job
        super().__init__(message, remedy=remedy)


class LedgerError(PermanentError):
    """A ledger was changed, cut or rolled back."""


class LedgerRefusedError(LedgerError):
    """A ledger cannot be used, and nothing tells that it was changed.

    It cannot be written, clocks or versions differ, or what answers at its address is another program, or has another
    key.
    """


class RunError(PermanentError):
    """A local run cannot start or go on as asked."""


class BrokerError(PermanentError):
    """Kafka cannot be had, started or kept running on this machine."""


class LogError(PermanentError):
    """The log is damaged, of a newer version, or asked for what it cannot do."""


class LogAccessError(PermanentError):
    """The log does not let this party in (password, certificate), or does not allow it what it asks."""


class FencedError(PermanentError):
    """A newer process of the same name has taken over; this one must stop."""


class RecordGoneError(PermanentError):
    """A record was compacted or trimmed away before it was read."""


class LedgerUnavailableError(TemporaryError):
    """The ledger cannot be reached now."""


class LogUnavailableError(TemporaryError):
    """The log cannot be reached or is locked."""
