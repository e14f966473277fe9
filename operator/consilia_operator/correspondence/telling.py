"""What a hospital tells its hub: each task's conditions, without its programs' words; data sets; where its ledger ends.

Pure but for the look into the store.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from consilia import __version__
from consilia.ledger.chain import Head
from consilia.wire.correspondence import (
    TASKS_AT_MOST,
    Report,
    ReportedCondition,
    ReportedDataset,
    ReportedGpus,
    TaskReport,
)
from consilia.wire.messages import LedgerHead
from consilia_operator.correspondence.hearing import Heard
from consilia_operator.correspondence.link import Link
from consilia_operator.correspondence.offered import is_over
from consilia_operator.settings import OfferedGpus

Document = Mapping[str, Any]

_TOLD = frozenset({"Approved", "Denied"})
"""Conditions whose messages are written for the hub, too; of the others it is told the reason."""
_LONGEST = 512


def report(
    link: Link,
    heard: Heard,
    tasks: Sequence[Document],
    datasets: Sequence[Document],
    head: Head | None,
    gpus: Sequence[OfferedGpus],
    interval: float,
) -> Report:
    """All that the hub is told; serial and time are the sender's to set."""
    told = sorted(tasks, key=lambda each: (is_over(each), str(each["metadata"]["name"])))[:TASKS_AT_MOST]
    return Report(
        hub=link.hub,
        hospital=link.hospital,
        serial=0,
        issued=0,
        version=__version__,
        heard=heard.serial,
        interval=interval,
        datasets=tuple(_dataset(each) for each in datasets[:256]),
        gpus=tuple(ReportedGpus(product=each.product, count=each.count) for each in gpus),
        ledger=LedgerHead(entries=head.entries, digest=head.digest) if head else None,
        tasks=tuple(_task(each) for each in told),
    )


def _dataset(document: Document) -> ReportedDataset:
    size = document.get("status", {}).get("size")
    return ReportedDataset(name=document["metadata"]["name"], unit=document["spec"].get("unit", "Record"), size=size)


def _task(document: Document) -> TaskReport:
    status = document.get("status", {})
    return TaskReport(
        uid=document["spec"]["job"]["uid"],
        conditions=tuple(_condition(each) for each in status.get("conditions", ())),
        state=status.get("state", ""),
        round=status.get("round"),
        epsilon_spent=status.get("epsilonSpent"),
        epsilon_reserved=status.get("epsilonReserved"),
    )


def _condition(found: Document) -> ReportedCondition:
    return ReportedCondition(
        type=found["type"],
        status=found["status"],
        reason=found["reason"],
        message=found["message"][:_LONGEST] if found["type"] in _TOLD else "",
        last_transition_time=found["lastTransitionTime"],
    )
