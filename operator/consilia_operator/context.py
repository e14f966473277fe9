"""What every look at an object has at hand."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from consilia_operator import events, kinds
from consilia_operator.api_server import ApiServer
from consilia_operator.applying import Applying
from consilia_operator.conditions import turned
from consilia_operator.correspondence.desks import Desks
from consilia_operator.isolation import Isolation
from consilia_operator.kinds import Kind
from consilia_operator.ledgers import Ledgers
from consilia_operator.memory import Memory
from consilia_operator.metrics import Metrics
from consilia_operator.progress_watch import ProgressWatch
from consilia_operator.settings import OperatorSettings
from consilia_operator.store import Document, Key, Store
from consilia_operator.transport.interface import Transport
from consilia_operator.twins import Twins
from consilia_operator.work_queue import WorkQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One operator process."""

    settings: OperatorSettings
    namespace: str
    """Its own."""
    api: ApiServer
    store: Store
    queue: WorkQueue[Key]
    applying: Applying
    progress: ProgressWatch
    transport: Transport
    metrics: Metrics
    ledgers: Ledgers
    desks: Desks = field(default_factory=Desks)
    """What is said to hospitals in other clusters, and what they told."""
    isolation: Isolation = field(default_factory=Isolation)
    """Whether NetworkPolicies hold, in a hospital's own cluster."""
    remembered: Memory = field(default_factory=Memory)
    twins: Twins = field(default_factory=Twins)

    def look_at(self, kind: Kind, namespace: str, name: str) -> None:
        """Have an object looked at soon."""
        self.queue.add(Key(kind, namespace, name))


def now() -> datetime:
    """The time, in UTC, as precise as Kubernetes keeps it."""
    return datetime.now(UTC).replace(microsecond=0)


async def write_status(context: Context, document: Document, status: Mapping[str, Any]) -> None:
    """Write the status of an object once, if it differs from what the object has; and an Event for what turned.

    Raises:
        Conflict: the object has changed since it was read; look again.
    """
    before = document.get("status", {})
    if before == status:
        return
    written = await context.api.write_status(document, status)
    if written is None:
        return
    context.store.put(kinds.of(document), written)
    for condition in newsworthy(turned(before.get("conditions", ()), status.get("conditions", ()))):
        await events.post(context.api, document, condition, now())


def newsworthy(conditions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Without those that only repeat, with the reason of another, that nothing runs."""
    reasons = Counter(each["reason"] for each in conditions)
    return [each for each in conditions if each["type"] != "Running" or reasons[each["reason"]] == 1]
