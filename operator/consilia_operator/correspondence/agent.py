"""A hospital's side of the correspondence: it listens to its hub, and tells it how it goes. `run` is the whole story.

It only ever calls out: nobody can call in. What it hears becomes HospitalTasks, which the hospital decides on like any
other; nothing here approves, trains or spends.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, time

from consilia.certificates import write_private
from consilia.enrolment.keeping import BUNDLE_FILE, LINK, files_of, secret
from consilia.errors import ConsiliaError, CorrespondenceError, IdentityError, Objection
from consilia.log import Log, Record, topics
from consilia.log.opening import kafka_url, open_log
from consilia.wire import correspondence
from consilia.wire.correspondence import FromHub, Handout, Offer, Recall, Report, TaskReport, read_offer
from consilia_operator.accounts import told_heads
from consilia_operator.context import Context, now
from consilia_operator.correspondence import offered, telling
from consilia_operator.correspondence.hearing import Heard, require_new
from consilia_operator.correspondence.link import Link, find, next_request, renewed
from consilia_operator.correspondence.mailbox import Clerk, Mailbox, Posted
from consilia_operator.errors import ApiRefused, Conflict, HubLeft
from consilia_operator.isolation import lets_out, way_out
from consilia_operator.kinds import CONFIG_MAP, DATASET, HOSPITAL_TASK, SECRET
from consilia_operator.manifests.offer import log_secret, papers
from consilia_operator.names import HUB, JOB_UID, labels
from consilia_operator.store import Document, key_of
from consilia_operator.transport.interface import KAFKA_JSON
from consilia_operator.transport.secrets import encoded

logger = logging.getLogger("consilia.operator.hub")

HEARD = "consilia-heard"
"""The ConfigMap that keeps how far the hospital has listened, and what it did not believe."""
INTERVAL = 15.0
"""So often a hospital is heard of at the latest, in seconds."""
_LISTENING = 1.0
_CALM = 1.0
"""Changes are told together, so long after the last report, in seconds."""
_AGAIN = 5.0
_LINK_LOOKED_AT = 15.0
_REMEMBERED = 20
_WRONG = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})


async def run(context: Context, namespace: str, connect: "Callable[[Link, Path], Log] | None" = None) -> None:
    """Until cancelled. While the hospital has joined no hub, or cannot reach it, it is tried again and again."""
    clerk, connect = Clerk(), connect or _connect
    try:
        while True:
            try:
                link = await find(context.api, namespace, context.settings.proxy)
                context.metrics.hub_connected.clear()
                if link:
                    await _follow(context, link, clerk, connect)
            except (ConsiliaError, OSError) as error:
                logger.warning("the hub cannot be followed now: %s It is tried again.", error)
            await asyncio.sleep(_AGAIN)
    finally:
        clerk.dismiss()


def _connect(link: Link, folder: Path) -> Log:
    """A report that cannot be sent by the time of the next one is not sent: that is when the hub counts as lost."""
    settings = json.loads(link.log[KAFKA_JSON]) | {"deliverySeconds": INTERVAL}
    for name, content in {**link.log, KAFKA_JSON: json.dumps(settings).encode()}.items():
        write_private(folder / name, content)
    return open_log(kafka_url(folder / KAFKA_JSON))


async def _follow(context: Context, link: Link, clerk: Clerk, connect: Callable[[Link, Path], Log]) -> None:
    """Until the link is another, or the log is away."""
    connected = context.metrics.hub_connected.labels(link.hub)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        mailbox = await clerk.have(
            lambda: Mailbox(connect(link, Path(folder)), topics.correspondent(link.hospital), link.identity)
        )
        try:
            agent = Agent(context, link, mailbox, clerk)
            await agent.recover()
            await agent.renew_papers()
            connected.set(1)
            logger.info("following the hub %s as %s", link.hub, link.hospital)
            looked = 0.0
            while not agent.handed_out:
                if monotonic() - looked >= _LINK_LOOKED_AT:
                    looked = monotonic()
                    context.isolation.proven = not await clerk.have(lambda: lets_out(way_out(link.log)))
                    if not agent.link.is_still(await find(context.api, link.hospital, context.settings.proxy)):
                        return
                await agent.ask_for_renewal()
                await agent.listen(_LISTENING)
                await agent.tell()
        finally:
            connected.set(0)
            await clerk.close(mailbox)


@dataclass
class Agent:
    """What one connection to the hub knows."""

    context: Context
    link: Link
    mailbox: Mailbox
    clerk: Clerk
    heard: Heard = field(default_factory=Heard)
    refused: Counter[str] = field(default_factory=Counter)
    _refusals: list[dict[str, object]] = field(default_factory=list)
    _unusable: dict[str, TaskReport] = field(default_factory=dict)
    """Offers that nothing could be made of, by the job's uid."""
    _untaken: dict[str, TaskReport] = field(default_factory=dict)
    """Offers that the API server does not take now, by the job's uid."""
    _waiting: dict[str, FromHub] = field(default_factory=dict)
    """What the API server did not take: tried again."""
    _kept: Heard = field(default_factory=Heard)
    handed_out: bool = False
    """Whether the hub has handed out another way to the log than this connection's."""
    _request: str | None = None
    """For the next certificate, once that is due."""
    _told: Report | None = None
    _told_at: float = 0.0

    async def recover(self) -> None:
        """How far an earlier process listened."""
        found = await self.context.api.get(CONFIG_MAP, self.link.hospital, HEARD)
        data = found.get("data", {}) if found else {}
        if data.get("hub") == self._hub:
            self.heard = Heard(serial=int(data["serial"]), offset=int(data["offset"]))
            self._refusals = json.loads(data.get("refused.json", "[]"))
        end = await self.clerk.have(lambda: self.mailbox.end(self._topic))
        if end < self.heard.offset:  # the topic was made anew
            self.heard = Heard(serial=self.heard.serial)
        self._kept = self.heard

    @property
    def _topic(self) -> str:
        return topics.offers(self.link.hospital)

    @property
    def _hub(self) -> str:
        """The hub as it was joined: joining another, or it with another key, begins anew."""
        return f"{self.link.hub} {self.link.hub_key.fingerprint()}"

    async def listen(self, seconds: float) -> None:
        """Deal with what has come; waits so long for something to come."""
        positions = {self._topic: self.heard.offset}
        for record in await self.clerk.have(lambda: self.mailbox.receive(positions, seconds)):
            await self._deal_with(record)
        for of, letter in list(self._waiting.items()):
            try:
                await self._do(letter)
            except CorrespondenceError as error:
                self._waiting.pop(of)
                self._refuse(error)
        if not self._waiting and self.heard != self._kept:
            await self._keep()

    async def _deal_with(self, record: Record) -> None:
        letter: FromHub | None = None
        link = self.link
        try:
            letter = read_offer(record, hub=link.hub, key=link.hub_key, hospital=link.hospital, now=time())
            require_new(letter, self.heard)
            await self._do(letter)
        except CorrespondenceError as error:
            self._refuse(error)
        self.heard = self.heard.after(record, letter)

    def _tasks(self) -> list[Document]:
        """Those that came over the log, from this hub."""
        return list(self.context.store.matching(HOSPITAL_TASK, self.link.hospital, {HUB: self.link.hub}))

    def _refuse(self, error: CorrespondenceError) -> None:
        logger.warning("a letter was not believed (%s): %s", error.objection, error)
        self.context.metrics.letters_refused.labels(error.objection).inc()
        self.refused[error.objection] += 1
        told: dict[str, object] = {"at": now().isoformat(), "objection": error.objection, "message": str(error)[:512]}
        self._refusals = [*self._refusals, told][-_REMEMBERED:]

    async def _do(self, letter: FromHub) -> None:
        """What it asks for; what the API server does not take now is tried again."""
        of = correspondence.key_of(letter)
        try:
            with self._unusable_named(letter):
                match letter:
                    case Offer():
                        await self._offer(letter)
                    case Recall():
                        await self._recall(letter.uid)
                    case Handout():
                        await self._take(letter)
            self._waiting.pop(of, None)
            self._untaken.pop(of, None)
        except Conflict:
            self._waiting[of] = letter
        except ApiRefused as error:
            self._wait_with(of, letter, error)

    def _wait_with(self, of: str, letter: FromHub, error: ApiRefused) -> None:
        """What a quota or a policy forbids today may be allowed tomorrow; the hub learns that it is not now."""
        if of not in self._waiting:
            logger.warning("what the hub says of %s cannot be written down: %s", of, error)
        self._waiting[of] = letter
        if isinstance(letter, Offer):
            self._untaken.setdefault(of, offered.not_taken(letter, now()))

    @contextmanager
    def _unusable_named(self, letter: FromHub) -> Iterator[None]:
        try:
            yield
        except CorrespondenceError as error:
            if isinstance(letter, Offer):
                self._unusable[letter.uid] = offered.unusable(letter, error, now())
                for oldest in list(self._unusable)[: -correspondence.TASKS_AT_MOST]:
                    del self._unusable[oldest]
            raise

    async def _offer(self, letter: Offer) -> None:
        offer = offered.parsed(letter, self.link)
        task = offered.task(offer, letter, self.link)
        key = key_of(HOSPITAL_TASK, task)
        if there := self.context.store.get(key):
            offered.require_same(there, task)
        else:
            offered.require_room(self._tasks(), set(self._waiting), letter)
            await self._require_link()
        await self._make(task, letter)
        if made := self.context.store.get(key):
            for paper in papers(offer, made, self.link.log):
                await self.context.applying.apply(paper)
            self.context.queue.add(key)

    async def _require_link(self) -> None:
        """Somebody may have left the hub since the link was looked at: then nothing new begins."""
        if BUNDLE_FILE not in files_of(await self.context.api.get(SECRET, self.link.hospital, LINK)):
            raise HubLeft(f"{self.link.hospital} has left the hub {self.link.hub}.")

    async def _make(self, task: Document, letter: Offer) -> None:
        """What the API server finds wrong about it will be wrong tomorrow, too."""
        try:
            await self.context.applying.apply(task)
        except Conflict:
            raise
        except ApiRefused as error:
            if error.status not in _WRONG:
                raise
            message = f"the offer of job {letter.uid}: the hospital's API server does not take it: {error}"
            raise CorrespondenceError(Objection.MALFORMED, message) from None

    async def _recall(self, uid: str) -> None:
        self._unusable.pop(uid, None)
        self._untaken.pop(uid, None)
        for task in self.context.store.matching(HOSPITAL_TASK, self.link.hospital, {JOB_UID: uid, HUB: self.link.hub}):
            metadata = task["metadata"]
            await self.context.applying.delete(
                HOSPITAL_TASK, metadata["namespace"], metadata["name"], uid=metadata["uid"]
            )

    async def _take(self, letter: Handout) -> None:
        """Another way to the log, without a moment without one: the older holds as long as it is valid."""
        try:
            files = renewed(self.link, letter.bundle)
        except IdentityError as error:
            raise CorrespondenceError(Objection.MALFORMED, str(error)) from None
        if files != self.link.files:
            await self.context.api.apply(secret(self.link.hospital, LINK, files))
            self.handed_out = True

    async def ask_for_renewal(self) -> None:
        """When the certificate ends soon: a new key, kept here, and a request for a certificate of it."""
        if self._request is None and self.link.is_due(now()):
            files, self._request = next_request(self.link)
            if files != self.link.files:
                await self.context.api.apply(secret(self.link.hospital, LINK, files))
                self.link = replace(self.link, files=files)

    async def renew_papers(self) -> None:
        """Trainers that run find the way to the log as it is now."""
        for task in self._tasks():
            name = log_secret(task["metadata"]["name"])
            await self.context.api.merge(SECRET, self.link.hospital, name, {"data": encoded(self.link.log)})

    async def _keep(self) -> None:
        """So that what was heard once is not news again."""
        data = {"hub": self._hub, "serial": str(self.heard.serial), "offset": str(self.heard.offset)}
        data["refused.json"] = json.dumps(self._refusals, indent=1)
        metadata = {"name": HEARD, "namespace": self.link.hospital, "labels": labels("correspondence")}
        document = {"apiVersion": "v1", "kind": CONFIG_MAP.kind, "metadata": metadata, "data": data}
        await self.context.api.apply(document)
        self._kept = self.heard

    async def tell(self) -> None:
        """Tell the hub how it goes, if that has changed, or it was not told for a while."""
        report, elapsed = self._report(), monotonic() - self._told_at
        if elapsed < (_CALM if report != self._told else INTERVAL):
            return
        serial = int(time() * 1000)
        sent = report.model_copy(update={"serial": serial, "issued": time()})
        await self.clerk.have(lambda: self.mailbox.send([Posted(topics.reports(self.link.hospital), sent)]))
        self._told, self._told_at = report, monotonic()

    def _report(self) -> Report:
        store, namespace = self.context.store, self.link.hospital
        heads = told_heads(self.context, namespace)
        head = max(heads, key=lambda each: each.entries, default=None)
        datasets = sorted(store.all(DATASET, namespace), key=lambda each: str(each["metadata"]["name"]))
        gpus = self.context.settings.gpus
        found = telling.report(self.link, self.heard, self._tasks(), datasets, head, gpus, 2 * INTERVAL)
        there = {each.uid for each in found.tasks}
        lost = tuple(each for uid, each in sorted((self._untaken | self._unusable).items()) if uid not in there)
        update = {
            "tasks": (*found.tasks, *lost)[: correspondence.TASKS_AT_MOST],
            "refused": dict(sorted(self.refused.items())),
            "certificate_request": self._request,
        }
        return found.model_copy(update=update)
