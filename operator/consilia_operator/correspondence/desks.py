"""What a hub wants its hospitals in other clusters to know, and what they have told: one desk for each namespace.

Jobs and Hospitals are looked at beside it; nothing here waits for anything.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from consilia.wire.correspondence import FromHub, Offer, Report, TaskReport
from consilia.wire.identity import Identity
from consilia_operator.correspondence.standing import Place, Wanted
from consilia_operator.kinds import HOSPITAL_TASK
from consilia_operator.store import Document


@dataclass
class Desk:
    """Of one namespace of the hub."""

    wanted: dict[Place, Wanted] = field(default_factory=dict)
    said: dict[Place, FromHub] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    """The newest of each hospital."""
    heard_at: dict[str, float] = field(default_factory=dict)
    """When that was, by our own clock."""
    gone: set[str] = field(default_factory=set)
    """Jobs that are no more, by uid."""
    bundles: dict[str, Document] = field(default_factory=dict)
    """Each hospital's way to the log, as it should have it."""
    positions: dict[str, int] = field(default_factory=dict)
    """By topic of reports: how far it has been read."""
    last: int = 0
    """The greatest serial that was ever used."""
    identity: Identity | None = None
    """What the hub signs with, once it was read."""
    identified: float = 0.0
    """When that was, by the monotonic clock."""


@dataclass
class Desks:
    """All of them. What is asked here waits for nothing."""

    _each: defaultdict[str, Desk] = field(default_factory=lambda: defaultdict(Desk))

    def offer(self, namespace: str, hospital: str, uid: str, wanted: Wanted) -> None:
        """Have the hospital know of a job."""
        there = self._each[namespace].wanted
        if there.get((hospital, uid)) != wanted:  # what is the same stays the same object: compared in no time
            there[hospital, uid] = wanted

    def hand_out(self, namespace: str, hospital: str, bundle: Document) -> None:
        """Have the hospital know its way to the log."""
        self._each[namespace].bundles[hospital] = bundle

    def hands_out(self, namespace: str, hospital: str) -> bool:
        """Whether the hospital was admitted, as far as this process knows."""
        return hospital in self._each[namespace].bundles

    def forget(self, namespace: str, hospital: str) -> None:
        """The hospital is no member any more."""
        self._each[namespace].bundles.pop(hospital, None)

    def suspend(self, namespace: str, uid: str) -> None:
        """Have all hospitals of a job take no part for the time being."""
        desk = self._each[namespace]
        for place, each in (*desk.said.items(), *desk.wanted.items()):
            if place[1] == uid and isinstance(each, Wanted | Offer):
                desk.wanted[place] = Wanted(job=each.job, roster=each.roster, suspend=True)

    def let_go(self, namespace: str, living: Iterable[str]) -> None:
        """Jobs that are not among the `living`, by uid, are no more."""
        desk, there = self._each[namespace], set(living)
        offered = (place for place, each in desk.said.items() if isinstance(each, Offer))
        desk.gone = {uid for _, uid in (*desk.wanted, *offered)} - there
        desk.wanted = {place: each for place, each in desk.wanted.items() if place[1] not in desk.gone}

    def report(self, namespace: str, hospital: str) -> tuple[Report, float] | None:
        """The newest, and when it was heard."""
        desk = self._each[namespace]
        found = desk.reports.get(hospital)
        return (found, desk.heard_at[hospital]) if found else None

    def tasks(self, namespace: str, uid: str) -> dict[str, Document]:
        """As HospitalTasks of a job would look here, by hospital: what was asked, and what was told of it."""
        desk = self._each[namespace]
        found = {}
        for (hospital, of), wanted in desk.wanted.items():
            if of == uid:
                told = desk.reports.get(hospital)
                part = next((each for each in told.tasks if each.uid == uid), None) if told else None
                found[hospital] = _as_task(hospital, wanted, part)
        return found

    def of(self, namespace: str) -> Desk:
        """One of them."""
        return self._each[namespace]


def _as_task(hospital: str, wanted: Wanted, told: TaskReport | None) -> Document:
    metadata = {"name": wanted.job["metadata"]["name"], "namespace": hospital}
    spec = {"suspend": wanted.suspend} | {
        name: wanted.job["spec"][name] for name in ("privacy",) if name in wanted.job["spec"]
    }
    return {"kind": HOSPITAL_TASK.kind, "metadata": metadata, "spec": spec, "status": _status(told) if told else {}}


def _status(told: TaskReport) -> dict[str, Any]:
    found = told.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"uid"})
    return {name: value for name, value in found.items() if value != ""}
