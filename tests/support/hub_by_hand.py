"""A hub that a test plays: it writes letters on a real log, honest ones and others, and reads what comes back."""

import asyncio
from contextlib import contextmanager
from copy import deepcopy
from datetime import timedelta
from time import time

from api_documents import document
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hospital_in_memory import APPROVED, NAME, Riverside

from consilia.certificates import certify, create_authority, new_key, request_certificate
from consilia.enrolment.keeping import LINK, secret
from consilia.enrolment.papers import JoinBundle
from consilia.log import follow, topics
from consilia.log.opening import open_log, sqlite_url
from consilia.wire.correspondence import Offer, Recall, read_report
from consilia.wire.identity import Identity, Roster
from consilia_operator.conditions import condition
from consilia_operator.correspondence.agent import Agent
from consilia_operator.correspondence.link import read
from consilia_operator.correspondence.mailbox import Clerk, Mailbox, Posted

HUB = "hub"
AUTHORITY = create_authority("members", lasts=timedelta(days=30))
KEY = new_key()
CERTIFICATE = certify(AUTHORITY, request_certificate(KEY, NAME), NAME, lasts=timedelta(days=1)).decode()
KEY_PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class HubByHand:
    """And the hospital that it talks to, whose operator is real but for the API server, which is a dictionary."""

    def __init__(self, folder):
        self.folder = folder
        self.identity, self.riverside = Identity.generate(HUB), Riverside(folder / "riverside")
        self.aggregator = Identity.generate("aggregator")
        self.link = read(self.handed_out(), self.riverside.identity)
        self.riverside.api.put(secret(NAME, LINK, self.link.files))
        self.log = self.open()
        self.mailbox = Mailbox(self.open(), topics.HUB, self.identity)
        self.serial = int(time() * 1000)
        self.clerk, self.agent = Clerk(), None

    def open(self):
        return open_log(sqlite_url(self.folder / "log"))

    def bundle(self, **changes):
        fields = {
            "hub": HUB,
            "hub_key": self.identity.public().text(),
            "hospital": NAME,
            "public_key": self.riverside.identity.public().text(),
            "bootstrap_servers": ("kafka.example:30093",),
            "ca": AUTHORITY.certificate_pem.decode(),
            "certificate": CERTIFICATE,
        }
        return JoinBundle(**{**fields, **changes}).signed_by(self.identity)

    def handed_out(self, **changes):
        return {"bundle.json": self.bundle(**changes).text().encode(), "user.key": KEY_PEM}

    def job(self, changes=None, name="study"):
        spec = {".metadata.name": name, "hospitals": {"names": [NAME], "minReady": 1, "minUpdates": 1}}
        job = document("FederatedJob", {**deepcopy(changes or {}), **spec})
        job["metadata"] |= {"namespace": HUB, "uid": f"uid-of-{name}"}
        return job

    def roster(self):
        return Roster(self.aggregator.public(), {NAME: self.riverside.identity.public()})

    def letter(self, changes=None, name="study", **fields):
        """An honest offer but for the changes of the job's spec, and for the letter's fields."""
        self.serial += 1
        given = {
            "hub": HUB,
            "hospital": NAME,
            "serial": self.serial,
            "issued": time(),
            "expires": time() + 3600,
            "uid": f"uid-of-{name}",
            "job": self.job(changes, name),
            "roster": self.roster().as_json(),
        }
        return Offer(**{**given, **fields})

    def recall(self, name="study", **fields):
        self.serial += 1
        given = {"hub": HUB, "hospital": NAME, "serial": self.serial, "issued": time(), "uid": f"uid-of-{name}"}
        return Recall(**{**given, **fields})

    def post(self, *letters, mailbox=None):
        """Send letters, and have the hospital deal with them."""
        (mailbox or self.mailbox).send([Posted(topics.offers(NAME), each) for each in letters])
        return self.turn()

    def put(self, value, headers, key):
        """Whatever somebody with the broker in their hands may lay there."""
        with self.log.producer("somebody").transaction() as transaction:
            transaction.append(topics.offers(NAME), value, key=key, headers=headers)
        return self.turn()

    def reports(self):
        return list(follow(self.log, topics.reports(NAME), 0))

    def put_report(self, value, headers):
        with self.log.producer("somebody").transaction() as transaction:
            transaction.append(topics.reports(NAME), value, key="report", headers=headers)

    def records(self):
        return list(follow(self.log, topics.offers(NAME), 0))

    def turn(self):
        """The hospital listens, looks at all that it has, and tells."""
        asyncio.run(self._turn())
        return self

    async def _turn(self):
        if self.agent is None:
            mine = await self.clerk.have(
                lambda: Mailbox(self.open(), topics.correspondent(NAME), self.riverside.identity)
            )
            self.agent = Agent(self.riverside.context, self.link, mine, self.clerk)
            self.riverside._sync()
            await self.agent.recover()
            await self.agent.renew_papers()
        await self.agent.ask_for_renewal()
        await self.agent.listen(0)
        await self.riverside._look()
        await self.riverside._look()
        self.agent._told_at = 0.0
        await self.agent.tell()

    def restart_operator(self):
        self.agent = None
        self.riverside.restart_operator()
        return self

    def report(self):
        """The newest that the hospital told, as an honest hub reads it."""
        record = list(follow(self.log, topics.reports(NAME), 0))[-1]
        return read_report(record, hub=HUB, key=self.riverside.identity.public(), hospital=NAME, now=time())

    def told(self, name="study"):
        """By condition: whether it holds, and why, of one task in the newest report."""
        (found,) = [each for each in self.report().tasks if each.uid == f"uid-of-{name}"]
        return {each.type: (each.status, each.reason) for each in found.conditions}

    def task(self, name="study"):
        """The hospital's own object, if there is one."""
        tasks = [each for each in self.riverside.api.every() if each["kind"] == "HospitalTask"]
        return next((each for each in tasks if each["spec"]["job"]["name"] == name), None)

    def says(self, of_type, name="study"):
        found = condition(self.task(name).get("status", {}).get("conditions", ()), of_type)
        return (found["status"], found["reason"]) if found else None

    def trainer(self, name="study"):
        """Its batch/v1 Job, if it was let in."""
        jobs = [each for each in self.riverside.api.every() if each["kind"] == "Job"]
        return next((each for each in jobs if name in each["metadata"]["name"]), None)


@contextmanager
def hub_and_riverside(folder):
    """With a Dataset there that lets listed tasks train by themselves, and no budget."""
    (folder / "riverside").mkdir()
    found = HubByHand(folder)
    try:
        found.riverside.apply({**APPROVED})
        found.riverside.look()
        yield found
    finally:
        found.riverside.stop_ledger()
        found.clerk.dismiss()
        found.mailbox.close()
        found.log.close()
