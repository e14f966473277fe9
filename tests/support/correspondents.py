"""A hub's operator and a hospital's: their Kubernetes is a dictionary, the log and the ledger are real."""

import asyncio
import itertools
import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time

from hospital_in_memory import HUB, NAME, SETTINGS, ApiServerOfHospital, Riverside
from prometheus_client import CollectorRegistry
from transport_in_memory import TransportInMemory

import consilia
from consilia.api import HospitalTask
from consilia.api.federated_job import name_on_log
from consilia.certificates import new_key, request_certificate
from consilia.enrolment.keeping import (
    BUNDLE_FILE,
    IDENTITY,
    KEY_FILE,
    LINK,
    files_of,
    key_pem,
    require_ours,
    secret,
    with_bundle,
)
from consilia.enrolment.papers import JoinBundle, JoinRequest
from consilia.log import topics
from consilia.log.opening import open_log
from consilia.progress import TrainerProgress
from consilia.wire.correspondence import Offer
from consilia.wire.identity import Identity, PublicKey
from consilia_operator import admitting, datasets, hospitals, kinds, ledgers, reconcile
from consilia_operator.applying import Applying
from consilia_operator.context import Context
from consilia_operator.correspondence import agent as agents
from consilia_operator.correspondence.agent import HEARD, Agent
from consilia_operator.correspondence.hub import Correspondent, hub_identity
from consilia_operator.correspondence.link import find
from consilia_operator.correspondence.mailbox import Clerk, Mailbox
from consilia_operator.identities import private_key
from consilia_operator.members import bundle_name
from consilia_operator.metrics import Metrics
from consilia_operator.names import TASK
from consilia_operator.progress_watch import ProgressWatch
from consilia_operator.settings import OutboundProxy
from consilia_operator.store import Store, key_of
from consilia_operator.work_queue import WorkQueue

LABELS = {"app.kubernetes.io/part-of": "consilia"}


PATIENCE, GLANCE = 60.0, 0.1
"""How long a letter may be under way, and how long is listened at once, in seconds."""


async def until(heard, listen):
    """Listen once, and then until that was heard, or not believed."""
    await listen(0)
    deadline = time() + PATIENCE
    while not heard():
        assert time() < deadline, "a letter has not arrived"
        await listen(GLANCE)


class Clustered:
    """What has a Kubernetes, which outlasts the operator and its version."""

    def cluster(self):
        """All that lies in it."""
        return [[list(key), found, self.api._applied.get(key)] for key, found in self.api._objects.items()]

    def adopt(self, cluster):
        """Be the operator of this one, from now on."""
        self.api._objects = {tuple(key): found for key, found, _ in cluster}
        self.api._applied = {tuple(key): applied for key, _, applied in cluster if applied}
        newest = max(int(found["metadata"]["resourceVersion"]) for _, found, _ in cluster)
        self.api._numbers = itertools.count(newest + 1)
        self.restart()


class Hub(Clustered):
    """A hub's operator, as far as hospitals in other clusters are concerned."""

    def __init__(self, log, folder):
        self.log, self.clerk, self.api, self.correspondent = log, Clerk(), ApiServerOfHospital(), None
        self.restart()

    def restart(self):
        """Another process: it knows what lies in the cluster and on the log, and nothing else."""
        self._leave()
        store = Store()
        applying = Applying(self.api, store)
        self.context = Context(
            settings=SETTINGS, namespace="consilia", api=self.api, store=store, queue=WorkQueue(), applying=applying,
            progress=ProgressWatch(None, print), transport=TransportInMemory(), metrics=Metrics(CollectorRegistry()),
            ledgers=ledgers.Ledgers(api=self.api, applying=applying, settings=SETTINGS, operator_namespace="consilia"),
        )  # fmt: skip

    def _leave(self):
        if self.correspondent:
            asyncio.run(self.clerk.have(self.correspondent.mailbox.close))
        self.correspondent = None

    def admit(self, request):
        """What `consilia enroll admit` does: the bundle for the hospital that asks."""
        asked = JoinRequest.read(request)
        spec = {
            "accepted": True, "cluster": "Own", "publicKey": asked.public_key,
            "certificateRequest": asked.certificate_request,
        }  # fmt: skip
        self._put("Hospital", asked.hospital, spec)
        asyncio.run(self._look())
        return self.api.there(kinds.CONFIG_MAP, HUB, bundle_name(asked.hospital))["data"][BUNDLE_FILE]

    def apply(self, name, spec):
        """Somebody applies a FederatedJob."""
        there = self.api.there(kinds.FEDERATED_JOB, HUB, name) or {}
        return self._put("FederatedJob", name, there.get("spec", {}) | spec, status=there.get("status", {}))

    def _put(self, kind, name, spec, **more):
        metadata = {"name": name, "namespace": HUB, "labels": LABELS}
        made = {"apiVersion": "consilia.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, **more}
        return self.api.put(made)["metadata"]["uid"]

    def delete(self, name):
        """Somebody deletes a FederatedJob."""
        self.api.gone(kinds.FEDERATED_JOB, HUB, name)

    def turn(self, told=0):
        """The operator looks at everything, writes what is due, and reads on until that report of the hospital's.

        The serial of the newest letter that it has written.
        """
        asyncio.run(self._turn(told))
        return self.context.desks.of(HUB).last

    async def _turn(self, told):
        await self._look()
        if self.correspondent is None:
            identity = await hub_identity(self.context, HUB)
            mailbox = await self.clerk.have(lambda: Mailbox(open_log(self.log), topics.HUB, identity))
            self.correspondent = Correspondent(self.context, HUB, identity, mailbox, self.clerk)
        await until(lambda: self._heard() >= told or self.refused(), self.correspondent.listen)
        await self._look()
        await self.correspondent.write()

    def _heard(self):
        found = self.context.desks.report(HUB, NAME)
        return found[0].serial if found else 0

    async def _look(self):
        gone = self._sync()
        for kind, module in ((kinds.HOSPITAL, hospitals), (kinds.FEDERATED_JOB, reconcile)):
            there = [key_of(kind, each) for each in self.context.store.all(kind)]
            for key in [*there, *(key for key in gone if key.kind == kind)]:
                await module.reconcile(self.context, key)
        self._sync()

    def _sync(self):
        """What the watches would have shown by now; what is gone."""
        store, there, gone = self.context.store, self.api.every(), []
        for kind in (kinds.HOSPITAL, kinds.FEDERATED_JOB):
            found = [each for each in there if each["kind"] == kind.kind]
            gone += store.replace(kind, None, found, str(next(self.api._numbers)))[1]
        return gone

    def say_again(self):
        """Time goes by, and offers end soon."""
        desk = self.context.desks.of(HUB)
        for place, letter in desk.said.items():
            if isinstance(letter, Offer):
                desk.said[place] = letter.model_copy(update={"expires": time()})

    def sees(self, name):
        """What the hospital's part in a job looks like here, and the job itself."""
        job = self.api.there(kinds.FEDERATED_JOB, HUB, name)
        return {"part": self.context.desks.tasks(HUB, job["metadata"]["uid"]).get(NAME), "job": job["status"]}

    def hospital(self):
        """Its status."""
        return self.api.there(kinds.HOSPITAL, HUB, NAME)["status"]

    def refused(self):
        """How many reports were not believed."""
        found = self.context.metrics.letters_refused.collect()
        return sum(sample.value for each in found for sample in each.samples if sample.name.endswith("_total"))

    def close(self):
        """Leave the log."""
        self._leave()
        self.clerk.dismiss()


class Hospital(Clustered):
    """A hospital's operator, with its Datasets, its ledger, and people who decide."""

    def __init__(self, log, folder):
        datasets._CALM = admitting._CALM = 0.0
        self.log, self.clerk, self.agent, self.ahead = log, Clerk(), None, timedelta()
        self.riverside = Riverside(Path(folder))
        self.api = self.riverside.api
        agents.now = lambda: datetime.now(UTC) + self.ahead

    def request(self):
        """What `consilia enroll request` does; the ledger begins, too."""
        self.riverside.start_ledger()
        key = new_key()
        self.api.put(secret(NAME, LINK, {KEY_FILE: key_pem(key)}))
        asked = JoinRequest(
            hospital=NAME,
            display_name="Riverside Clinic",
            public_key=self.riverside.identity.public().text(),
            certificate_request=request_certificate(key, NAME).decode(),
            version=consilia.__version__,
        )
        return asked.signed_by(self.riverside.identity).text()

    def accept(self, bundle):
        """What `consilia enroll accept` does; the fingerprint that people compare."""
        found = JoinBundle.read(bundle)
        require_ours(found, self.riverside.identity)
        self.api.put(secret(NAME, LINK, with_bundle(files_of(self.riverside.there(kinds.SECRET, LINK)), found)))
        return PublicKey.from_text(found.hub_key).fingerprint()

    def dataset(self, name, spec):
        """A Dataset with a budget of ε = 3 and an inspection, if the spec asks for no other source."""
        if "source" in spec:
            self.riverside.apply(spec, name)
            self.riverside.look()
        else:
            self.riverside.ready(spec, name)
        return self.riverside.status(name)

    def restart(self):
        """Another process: it knows what lies in the cluster, and nothing else."""
        self._leave()
        here = self.riverside
        here.identity = Identity(NAME, private_key(here.there(kinds.SECRET, IDENTITY)))
        here.stop_ledger()
        here.start_ledger().restart_operator()

    def turn(self, said=0):
        """The operator reads on until that letter of the hub's, looks at all that it has, and tells.

        With another way to the log it follows the hub anew. The least serial that the report can have.
        """
        serial = asyncio.run(self._turn(said))
        if self.agent.handed_out:
            self._leave()
        return serial

    async def _turn(self, said):
        if self.agent is None:
            await self._follow()
        await self.agent.ask_for_renewal()
        await until(lambda: self.agent.heard.serial >= said or self.agent.refused, self.agent.listen)
        await self.riverside._look()
        await self.riverside._look()
        self.agent._told_at, serial = 0.0, int(time() * 1000)
        await self.agent.tell()
        return serial

    async def _follow(self):
        self.riverside._sync()
        link = await find(self.api, NAME, OutboundProxy())
        log, name = self.log, topics.correspondent(NAME)
        mailbox = await self.clerk.have(lambda: Mailbox(open_log(log), name, link.identity))
        self.agent = Agent(self.riverside.context, link, mailbox, self.clerk)
        await self.agent.recover()
        await self.agent.renew_papers()

    def _leave(self):
        if self.agent:
            asyncio.run(self.clerk.have(self.agent.mailbox.close))
        self.agent = None

    def later(self, days):
        """So many days go by for its certificate."""
        self.ahead = timedelta(days=days)

    def certificate(self):
        """What it logs in with."""
        return JoinBundle.read(files_of(self.riverside.there(kinds.SECRET, LINK))[BUNDLE_FILE]).certificate

    def decide(self, job, decision, message=""):
        """Somebody decides on an offer."""
        task = self._task(job)
        more = {"decisionMessage": message} if message else {}
        self.api.put(task | {"spec": task["spec"] | {"decision": decision} | more})

    def task(self, job):
        """The HospitalTask, if there is one, and the uid of its trainer, if that runs."""
        found = self._task(job)
        trainer = found and self.riverside.trainer(key_of(kinds.HOSPITAL_TASK, found))
        runs = trainer["metadata"]["uid"] if trainer else None
        return found and {"spec": found["spec"], "status": found.get("status", {}), "trainer": runs}

    def _task(self, job):
        tasks = [each for each in self.api.every() if each["kind"] == "HospitalTask"]
        return next((each for each in tasks if each["spec"]["job"]["name"] == job), None)

    def train(self, job, round):  # noqa: A002 (what a trainer calls it)
        """What its trainer does: it charges the ledger for one more round, and tells where it stands."""
        task = self._task(job)
        parsed = HospitalTask.model_validate({name: value for name, value in task.items() if name != "status"})
        name, ledger = name_on_log(job, task["spec"]["job"]["uid"]), self.riverside.ledger
        account = ledger.find(parsed.spec.dataset)
        plan = ledger.plan(parsed.spec, 1000)
        ledger.reserve(account, name, round, plan.training, nonce=secrets.token_hex(16), purpose="Training")
        metadata = {"name": f"{job}-pod", "namespace": NAME, "labels": {TASK: task["metadata"]["name"]}}
        self.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": "Running"}})
        said = TrainerProgress(job=name, hospital=NAME, version=round, state="Training", round=round, attempts=round)
        self.riverside.context.progress._heard[key_of(kinds.HOSPITAL_TASK, task)] = said

    def refused(self):
        """What was not believed, as it is kept for people."""
        found = self.riverside.there(kinds.CONFIG_MAP, HEARD)
        return json.loads(found["data"]["refused.json"]) if found else []

    def close(self):
        """Leave the log, and end the ledger."""
        self._leave()
        self.clerk.dismiss()
        self.riverside.stop_ledger()
