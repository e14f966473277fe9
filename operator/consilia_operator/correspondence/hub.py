"""A hub's side of the correspondence, for each namespace with hospitals in other clusters. `run` is the whole story."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, time

from consilia.certificates import write_private
from consilia.errors import ConsiliaError, CorrespondenceError, LogUnavailableError, Objection
from consilia.log import Log, Record, topics
from consilia.log.opening import kafka_url, open_log
from consilia.wire.correspondence import Report, TaskReport, key_of, read_offer, read_report
from consilia.wire.identity import Identity, PublicKey
from consilia_operator.conditions import holds
from consilia_operator.context import Context
from consilia_operator.correspondence import standing
from consilia_operator.correspondence.desks import Desk
from consilia_operator.correspondence.mailbox import Clerk, Mailbox, Posted
from consilia_operator.identities import private_key
from consilia_operator.kinds import FEDERATED_JOB, HOSPITAL
from consilia_operator.manifests.identity import new_hub_identity
from consilia_operator.store import Document
from consilia_operator.sweeping import sweep_members
from consilia_operator.transport.interface import KAFKA_JSON, NotReady

logger = logging.getLogger("consilia.operator.hospitals")

_LISTENING, _AGAIN, _LOOKING = 1.0, 5.0, 2.0
_TOGETHER = 0.5
"""What comes within so many seconds is dealt with together: each time all hospitals' topics are gone through."""
_SILENT = 2.0
"""So many intervals may pass until a hospital counts as away."""
_TRUSTED = 60.0
"""So long the hub's key is taken to be the one that was read last, in seconds."""

Connect = Callable[[Mapping[str, bytes], Path], Log]


async def run(context: Context, connect: Connect | None = None) -> None:
    """Until cancelled: one desk for each namespace that has accepted hospitals in other clusters."""
    sitting: dict[str, asyncio.Task[None]] = {}
    try:
        while True:
            found = members(context)
            needed = set(found)
            for namespace in needed - set(sitting):
                sitting[namespace] = asyncio.create_task(_sit(context, namespace, connect or _connect))
            for namespace in set(sitting) - needed:
                sitting.pop(namespace).cancel()
            for silence in fallen_silent(context, found):
                context.look_at(HOSPITAL, silence["metadata"]["namespace"], silence["metadata"]["name"])
            await asyncio.sleep(_LOOKING)
    finally:
        for each in sitting.values():
            each.cancel()
        await asyncio.gather(*sitting.values(), return_exceptions=True)


def members(context: Context, namespace: str | None = None) -> dict[str, list[Document]]:
    """The accepted hospitals in other clusters, by the hub's namespaces."""
    found: defaultdict[str, list[Document]] = defaultdict(list)
    for each in context.store.all(HOSPITAL, namespace):
        if is_member(each) and each["spec"].get("accepted"):
            found[each["metadata"]["namespace"]].append(each)
    return dict(found)


def silent(report: Report, at: float) -> bool:
    """Whether one that told this, at that time, has not been heard of for too long."""
    return time() - at > _SILENT * report.interval


def fallen_silent(context: Context, members: Mapping[str, Sequence[Document]]) -> Iterator[Document]:
    """Those whose status says yet that they are there: nothing else would have them looked at."""
    for namespace, hospitals in members.items():
        for each in hospitals:
            heard = context.desks.report(namespace, each["metadata"]["name"])
            if heard and silent(*heard) and holds(each.get("status", {}).get("conditions", ()), "Available"):
                yield each


def is_member(hospital: Document) -> bool:
    """Whether it has a cluster of its own."""
    return bool(hospital["spec"].get("cluster") == "Own")


def _connect(files: Mapping[str, bytes], folder: Path) -> Log:
    for name, content in files.items():
        write_private(folder / name, content)
    return open_log(kafka_url(folder / KAFKA_JSON))


async def hub_identity(context: Context, namespace: str) -> Identity:
    """What the hub of that namespace signs its letters with; made once.

    Raises:
        IdentityError: its Secret is damaged.
    """
    desk = context.desks.of(namespace)
    if desk.identity is None or monotonic() - desk.identified > _TRUSTED:
        secret = await context.api.create_once(new_hub_identity(namespace))
        desk.identity, desk.identified = Identity(namespace, private_key(secret)), monotonic()
    return desk.identity


async def _sit(context: Context, namespace: str, connect: Connect) -> None:
    clerk = Clerk()
    try:
        while True:
            try:
                way = await context.transport.own_way(namespace)
                if isinstance(way, NotReady):
                    raise LogUnavailableError(way.message)
                await _correspond(context, namespace, way.files, clerk, connect)
            except (ConsiliaError, OSError) as error:
                logger.warning("%s: hospitals in other clusters cannot be written to now: %s", namespace, error)
            await asyncio.sleep(_AGAIN)
    finally:
        clerk.dismiss()


async def _correspond(
    context: Context, namespace: str, files: Mapping[str, bytes], clerk: Clerk, connect: Connect
) -> None:
    """Until the log is away."""
    identity = await hub_identity(context, namespace)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        mailbox = await clerk.have(lambda: Mailbox(connect(files, Path(folder)), topics.HUB, identity))
        try:
            await sweep_members(context, namespace)
            correspondent = Correspondent(context, namespace, identity, mailbox, clerk)
            while True:
                began = monotonic()
                await correspondent.listen(_LISTENING)
                await correspondent.write()
                await asyncio.sleep(max(0.0, began + _TOGETHER - monotonic()))
        finally:
            await clerk.close(mailbox)


@dataclass
class Correspondent:
    """One connection to the log, for one namespace."""

    context: Context
    namespace: str
    identity: Identity
    mailbox: Mailbox
    clerk: Clerk
    _keys: dict[str, PublicKey] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)
    """The same, as they stand in the Hospitals."""

    @property
    def desk(self) -> Desk:
        """What lasts longer than a connection."""
        return self.context.desks.of(self.namespace)

    async def listen(self, seconds: float) -> None:
        """Read what hospitals have told; waits so long for something to come."""
        await self._meet()
        positions = {topics.reports(name): self.desk.positions.get(topics.reports(name), 0) for name in self._keys}
        if not positions:
            await asyncio.sleep(seconds)
            return
        for record in await self.clerk.have(lambda: self.mailbox.receive(positions, seconds)):
            self._hear(record, live=positions[record.topic] > 0)

    async def _meet(self) -> None:
        """Hospitals that were admitted since; of each it is read what was said to it before, by an earlier process."""
        there = {each["metadata"]["name"]: each["spec"]["publicKey"] for each in self._members()}
        new = sorted(set(there) - set(self._keys))
        for name in set(self._keys) - set(there):
            del self._keys[name], self._told[name]
        for name, key in there.items():
            if self._told.get(name) != key:
                self._keys[name], self._told[name] = PublicKey.from_text(key), key
        if new:
            before = partial(self.mailbox.everything, [topics.offers(name) for name in new])
            for record in await self.clerk.have(before):
                self._remember(record.topic.removeprefix(topics.offers("")), record)

    def _members(self) -> Iterator[Document]:
        yield from members(self.context, self.namespace).get(self.namespace, [])

    def _remember(self, hospital: str, record: Record) -> None:
        """What we have said: only our own words count, also here."""
        key = self.identity.public()
        with suppress(CorrespondenceError):
            letter = read_offer(record, hub=self.namespace, key=key, hospital=hospital, now=time())
            self.desk.said[hospital, key_of(letter)] = letter
            self.desk.last = max(self.desk.last, letter.serial)

    def _hear(self, record: Record, *, live: bool) -> None:
        """What was there before we came was said when its writer says, not now."""
        hospital = record.topic.removeprefix(topics.reports(""))
        self.desk.positions[record.topic] = record.offset + 1
        try:
            report = read_report(record, hub=self.namespace, key=self._keys[hospital], hospital=hospital, now=time())
            self._require_new(report)
        except CorrespondenceError as error:
            self.context.metrics.letters_refused.labels(error.objection).inc()
            logger.warning("%s: a report was not believed (%s): %s", self.namespace, error.objection, error)
            return
        before = self.context.desks.report(self.namespace, hospital)
        self.desk.reports[hospital] = report
        self.desk.heard_at[hospital] = time() if live else min(time(), report.issued)
        self._wake(hospital, before, report)

    def _require_new(self, report: Report) -> None:
        before = self.desk.reports.get(report.hospital)
        if before and report.serial <= before.serial:
            message = (
                f"report {report.serial} of {report.hospital} comes after a newer one: somebody has sent it again."
            )
            raise CorrespondenceError(Objection.REPLAYED, message)

    def _wake(self, hospital: str, before: tuple[Report, float] | None, report: Report) -> None:
        """The Hospital, and the jobs, of which something else is told than before: a heartbeat alone wakes nobody."""
        if before is None or silent(*before) or _of_hospital(before[0]) != _of_hospital(report):
            self.context.look_at(HOSPITAL, self.namespace, hospital)
        old = {each.uid: _of_job(each) for each in before[0].tasks} if before else {}
        for each in report.tasks:
            wanted = self.desk.wanted.get((hospital, each.uid))
            if wanted and _of_job(each) != old.get(each.uid):
                self.context.look_at(FEDERATED_JOB, self.namespace, wanted.job["metadata"]["name"])

    async def write(self) -> None:
        """Say what is due to those who are members."""
        desk = self.desk
        jobs = self.context.store.all(FEDERATED_JOB, self.namespace)
        self.context.desks.let_go(self.namespace, [each["metadata"]["uid"] for each in jobs])
        wanted = {place: each for place, each in desk.wanted.items() if place[0] in self._keys}
        bundles = {name: each for name, each in desk.bundles.items() if name in self._keys}
        letters = standing.due_handouts(bundles, desk.said, self.namespace, time())
        letters += standing.due(wanted, desk.said, desk.gone, self.namespace, time())
        letters = [each for each in standing.numbered(letters, desk.last, time()) if each.hospital in self._keys]
        if not letters:
            return
        await self.clerk.have(
            lambda: self.mailbox.send([Posted(topics.offers(each.hospital), each) for each in letters])
        )
        for each in letters:
            desk.said[each.hospital, key_of(each)] = each
            desk.last = max(desk.last, each.serial)


def _of_hospital(report: Report) -> tuple[object, ...]:
    """What its Hospital shows of a report."""
    return report.version, report.datasets, report.gpus, report.ledger, report.certificate_request


def _of_job(task: TaskReport) -> TaskReport:
    """What a FederatedJob shows of one: rounds it is told by its aggregator."""
    return task.model_copy(update={"round": None})
