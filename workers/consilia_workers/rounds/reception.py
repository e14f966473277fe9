"""Who is there and what has come: all hospitals' inboxes together."""

import logging
from collections import Counter

from consilia.errors import Refusal
from consilia.log import Log, topics
from consilia.wire.identity import Roster
from consilia.wire.layout import Layout
from consilia.wire.messages import Evaluated, FromHospital, Joined, LeaveReason, Left, RefusedUpdate, RoundOpened
from consilia_workers.rounds.inbox import Arrived, HospitalInbox
from consilia_workers.rounds.recovery import Standing

logger = logging.getLogger("consilia.aggregator")

_REFUSALS_RECORDED = 10
"""So many refused messages of one hospital are recorded in a round, and that there were more."""
_REFUSALS_IN_ALL = 256
"""So many of all hospitals together, or the record would no longer fit the log."""
_ANOTHER_MAY_COME = frozenset({Refusal.FORGED, Refusal.STALE, Refusal.CONFLICTING})
"""Refusals that say nothing about the hospital's update of this round. After any other nobody waits: it is spoilt."""


class Reception:
    """Folds what the hospitals say into who is present, who left, and what arrived for the open round."""

    def __init__(
        self, log: Log, job: str, roster: Roster, layout: Layout, *, config_digest: str, standing: Standing
    ) -> None:
        """`standing` says who was there and who had left before a restart."""
        self._log, self._config, self._roster = log, config_digest, roster.digest()
        group = topics.aggregator(job)
        self.inboxes = {
            name: HospitalInbox(name, key, job, layout, log.committed(group, topics.up(name, job)) or 0)
            for name, key in roster.hospitals.items()
        }
        last = standing.last
        self.present = set(standing.opened.hospitals if standing.opened else last.present if last else [])
        self.left: dict[str, LeaveReason] = dict(last.left) if last else {}
        """Who left for good, with the reason."""
        self.arrived: dict[str, Arrived] = {}
        self.refused: list[RefusedUpdate] = []
        self.refusals: Counter[Refusal] = Counter()
        """How many messages were refused for each reason since the start, those too many to be recorded included."""
        self.evaluated: dict[str, Evaluated] = {}
        """The answers about the newest model."""
        self._newest = last.model.sha256 if last else ""

    @property
    def possible(self) -> int:
        """How many hospitals have contributed to the round or still can."""
        return len(self.inboxes) - len(self.left.keys() - self.arrived.keys())

    def end_round(self, model_digest: str) -> None:
        """What arrived and what was refused is on the record now, and there is a new model."""
        self.arrived, self.refused, self.evaluated = {}, [], {}
        self._newest = model_digest

    def read(self, opened: RoundOpened | None) -> None:
        """Take in what has come since the last call."""
        for name, inbox in self.inboxes.items():
            for event in inbox.read(self._log, opened):
                match event:
                    case Arrived():
                        self.arrived[name] = event
                        self._appear(name)
                    case RefusedUpdate():
                        self._refuse(event)
                        if event.reason not in _ANOTHER_MAY_COME:
                            self.present.discard(name)
                    case _:
                        self._hear(name, event)

    def wait(self, timeout: float) -> None:
        """Sleep until something comes, at most `timeout` seconds."""
        self._log.wait({inbox.topic: inbox.position for inbox in self.inboxes.values()}, max(timeout, 0.0))

    def _hear(self, name: str, message: FromHospital) -> None:
        match message:
            case Joined() if (message.config_digest, message.roster_digest) != (self._config, self._roster):
                text = f"{name} joined under another configuration or roster"
                self._refuse(RefusedUpdate(hospital=name, reason=Refusal.WRONG_JOB, message=text))
                self.present.discard(name)
            case Joined():
                logger.info("%s joined with %d records", name, message.samples)
                self._appear(name)
            case Left():
                logger.warning("%s left: %s", name, message.reason)
                self.left.setdefault(name, message.reason)  # the runner may say it again for a process that is gone
                self.present.discard(name)
            case Evaluated() if message.model_digest == self._newest:
                self.evaluated[name] = message
            case Evaluated():
                text = f"{name} evaluated another model than the newest"
                self._refuse(RefusedUpdate(hospital=name, reason=Refusal.WRONG_BASE, message=text))

    def _refuse(self, refused: RefusedUpdate) -> None:
        """Only so many a round: nobody may fill the record with rubbish."""
        self.refusals[refused.reason] += 1
        count = sum(other.hospital == refused.hospital for other in self.refused)
        if count == _REFUSALS_RECORDED:
            refused = refused.model_copy(update={"message": "more of this hospital's messages were refused"})
        if count <= _REFUSALS_RECORDED and len(self.refused) < _REFUSALS_IN_ALL:
            logger.warning("refused from %s: %s: %s", refused.hospital, refused.reason, refused.message)
            self.refused.append(refused)

    def _appear(self, name: str) -> None:
        """A restarted trainer may come back after it left."""
        self.present.add(name)
        self.left.pop(name, None)

    def drop_missing(self) -> list[str]:
        """The round ends without those whose update has not come; nobody waits for them until a sign of life."""
        missing = sorted(self.present - self.arrived.keys())
        self.present -= set(missing)
        for inbox in self.inboxes.values():
            for refused in inbox.cut_short():
                self._refuse(refused)
        return missing
