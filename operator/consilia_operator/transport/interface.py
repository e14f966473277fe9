"""What every transport promises, and what it asks of the API server."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from consilia_operator.kinds import Kind
from consilia_operator.transport.membership import Membership

Document = dict[str, Any]
"""An object of Kubernetes, as JSON has it."""
KAFKA_JSON = "kafka.json"
"""In a party's credentials: how it reaches the log (`consilia.kafka.settings`), paths relative to this file."""
AGGREGATOR = "aggregator"
"""The aggregator among the parties; no hospital may be called so."""
CA_FILE, PASSWORD_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.crt", "password", "user.crt", "user.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What one party needs to reach the log: files by name, `kafka.json` among them, for its `…-log` Secret."""

    files: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The log is there, and every party may do what it must."""

    parties: Mapping[str, Credentials]
    """By the hospital's name, and `aggregator`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotReady:
    """The log is not there yet, or cannot be as asked."""

    reason: str
    """For a condition: one word in CamelCase, stable."""
    message: str
    """What is missing, which object it is about, and what to do."""
    retry_seconds: float
    """When to look again, unless something changes before."""
    permanent: bool = False
    """Whether waiting changes nothing: somebody must act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneJob:
    """What is known of a job that is no more, or that is over."""

    namespace: str
    name: str
    log_name: str


class Cluster(Protocol):
    """The API server. What it answers and is told are plain documents."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Document | None:
        """The object as it is now; None if there is none."""

    async def list(self, kind: Kind, namespace: str, selector: str = "") -> list[Document]:
        """Those of a namespace whose labels fit."""

    async def apply(self, document: Document) -> Document:
        """Make it so (server-side apply); the object as it is then."""

    async def create_once(self, document: Document) -> Document:
        """Make it unless one of its name is there, which is never written over; the object as it is then."""

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Have it gone; nothing happens if it is."""

    async def exists(self, kind: Kind) -> bool:
        """Whether the API server knows objects of this kind, in this version."""


class Transport(Protocol):
    """A log, for the jobs of every namespace."""

    async def prepare(self, job: Document, hospitals: Sequence[str], members: Sequence[str] = ()) -> Ready | NotReady:
        """See that the log is there for the job and these hospitals; called again and again, cheap when it is.

        `members` are hospitals in other clusters: they have their way to the log, and need only be let into the job.
        """

    async def admit(self, namespace: str, hospital: str, request: bytes, before: bytes | None) -> Membership | NotReady:
        """Let a hospital in another cluster correspond with the hub of this namespace; cheap when it can.

        `request` is for its certificate, and `before` is the one that it has.

        Raises:
            IdentityError: the request cannot be granted.
        """

    async def expel(self, namespace: str, hospital: str) -> None:
        """Let it do nothing any more.

        Raises:
            LogUnavailableError: the log does not answer; try again later.
        """

    async def members(self, namespace: str) -> Collection[str]:
        """The hospitals in other clusters that may correspond with the hub of this namespace.

        Raises:
            LogUnavailableError: the log does not answer; try again later.
        """

    async def own_way(self, namespace: str) -> Credentials | NotReady:
        """How the operator itself reaches the log of this namespace."""

    async def keep_up(self, namespace: str, over: Sequence[Document]) -> NotReady | None:
        """See that the namespace's log stays up without jobs, and lets in the aggregators of jobs that are `over`.

        Why it is not up, if it is not.

        Raises:
            LogUnavailableError: the log does not answer; try again later.
        """

    async def retire(self, job: GoneJob) -> None:
        """Let go of what was on the log for that job alone; repeating it does no harm.

        Raises:
            LogUnavailableError: the log does not answer; try again later.
        """

    async def orphans(self, namespace: str, living: Callable[[str], bool]) -> list[str]:
        """The log names of the jobs that have left something on the namespace's log, and that are not `living`.

        Raises:
            LogUnavailableError: the log does not answer; try again later.
        """
