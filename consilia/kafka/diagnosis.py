"""Why a cluster does not answer: our own visits to its brokers, since kafka-python does not say.

Why they are ours: docs/decisions/0009-a-diagnosis-of-our-own.md.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue

from consilia.errors import ConsiliaError, PermanentError
from consilia.kafka import findings
from consilia.kafka.approach import Approach
from consilia.kafka.findings import Peer
from consilia.kafka.proxy import host_and_port
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.visit import Broker, visit

Outcome = Sequence[Broker] | ConsiliaError
_GRACE = 0.1
"""For a visit that ends in time to say so, in seconds."""


def diagnose(settings: KafkaSettings, seconds: float = 4.0) -> ConsiliaError | None:
    """What keeps this party from the cluster, or from one of its brokers; None if every broker answers it.

    Takes as long as the slowest broker, at most `seconds`. Of several causes one that somebody must act upon is told.
    """
    deadline = time.monotonic() + seconds
    try:
        door, brokers = _find_door(settings, deadline)
    except ConsiliaError as error:
        return error
    wrong = [found for found in _look_behind(door, brokers, deadline) if found]
    return _gravest(wrong) if wrong else None


def require_entry(settings: KafkaSettings, seconds: float = 4.0) -> None:
    """See that the cluster lets this party in, before kafka-python is asked to try: it may try for ever.

    Raises:
        ConsiliaError: no bootstrap address answers well, or none of the brokers that the cluster announces.
    """
    deadline = time.monotonic() + seconds
    door, brokers = _find_door(settings, deadline)
    if any((each.host, each.port) == (door.host, door.port) for each in brokers):
        return
    wrong = []
    for found in _look_behind(door, brokers, deadline):
        if found is None:
            return
        wrong.append(found)
    raise _gravest(wrong)


def _find_door(settings: KafkaSettings, deadline: float) -> tuple[Peer, Sequence[Broker]]:
    """The first bootstrap address that answers, and the brokers that are announced there.

    Raises:
        ConsiliaError: none does.
    """
    doors = [Peer(settings, *host_and_port(each)) for each in settings.bootstrap_servers]
    wrong = []
    for door, outcome in _visit_all(doors, deadline):
        if isinstance(outcome, ConsiliaError):
            wrong.append(outcome)
        elif outcome:
            return door, outcome
        else:
            wrong.append(findings.no_brokers(door))
    raise _gravest(wrong)


def _look_behind(door: Peer, brokers: Sequence[Broker], deadline: float) -> Iterator[ConsiliaError | None]:
    """What is wrong with each broker announced at `door`; the door itself is known to be well."""
    peers = {Peer(door.settings, each.host, each.port): each.node for each in brokers}
    peers.pop(door, None)
    for peer, outcome in _visit_all(list(peers), deadline):
        if isinstance(outcome, ConsiliaError):
            yield findings.announced(peer, peers[peer], door, outcome)
        else:
            yield None


def _gravest(errors: Sequence[ConsiliaError]) -> ConsiliaError:
    return next((error for error in errors if isinstance(error, PermanentError)), errors[0])


def _visit_all(peers: Sequence[Peer], deadline: float) -> Iterator[tuple[Peer, Outcome]]:
    """The outcomes of visits to all peers at once, as they come in.

    Each has a thread of its own, which nobody waits for beyond the deadline: looking up a name cannot be cut short.
    """
    waiting = {peer: Approach(peer, max(deadline - time.monotonic(), 1e-3)) for peer in peers}
    done: SimpleQueue[tuple[Peer, Outcome]] = SimpleQueue()
    for approach in waiting.values():
        threading.Thread(target=_report, args=(approach, done), daemon=True).start()
    while waiting:
        try:
            peer, outcome = done.get(timeout=max(deadline - time.monotonic(), 0) + _GRACE)
        except Empty:
            break
        del waiting[peer]
        yield peer, outcome
    for peer, approach in waiting.items():
        yield peer, approach.timeout()


def _report(approach: Approach, done: "SimpleQueue[tuple[Peer, Outcome]]") -> None:
    try:
        outcome: Outcome = visit(approach)
    except ConsiliaError as error:
        outcome = error
    done.put((approach.peer, outcome))
