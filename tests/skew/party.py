"""One side of a federation in a process of its own, as one version of Consilia is it.

    party.py hub LOG FOLDER        a hub's operator; its Kubernetes is a dictionary, the log at the URL is real
    party.py hospital LOG FOLDER   a hospital's operator, with a real ledger in FOLDER
    party.py programs MODULE       a job's programs, forked from one process that has loaded the module

It is asked by JSON lines on standard input, `{"do": NAME, ...}`, and answers each with one on standard output,
`{"gave": ...}` or `{"failed": TRACEBACK}`. The builds in `builds/` hold this file as it was in their time: what a
command is called, takes and gives stays, or tests cannot ask them any more.
"""

import asyncio
import importlib
import json
import os
import secrets
import signal
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep, time
from typing import get_args

from hospital_in_memory import HUB, NAME, SETTINGS, ApiServerOfHospital, Riverside
from prometheus_client import CollectorRegistry
from transport_in_memory import TransportInMemory

import consilia
from consilia.api import FederatedJob, HospitalTask
from consilia.api.federated_job import name_on_log
from consilia.api.schema import resource_schema
from consilia.certificates import new_key, request_certificate
from consilia.enrolment.keeping import BUNDLE_FILE, KEY_FILE, LINK, files_of, key_pem, require_ours, secret, with_bundle
from consilia.enrolment.papers import JoinBundle, JoinRequest
from consilia.log import topics
from consilia.log.opening import open_log
from consilia.progress import TrainerProgress
from consilia.wire.correspondence import FromHub, Report
from consilia.wire.identity import PublicKey
from consilia.wire.messages import FromAggregator, FromHospital
from consilia_operator import admitting, datasets, hospitals, kinds, ledgers, reconcile
from consilia_operator.applying import Applying
from consilia_operator.context import Context
from consilia_operator.correspondence import agent as agents
from consilia_operator.correspondence.agent import HEARD, Agent
from consilia_operator.correspondence.hub import Correspondent, hub_identity
from consilia_operator.correspondence.link import find
from consilia_operator.correspondence.mailbox import Clerk, Mailbox
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
    """Listen once, and then until that was heard."""
    await listen(0)
    deadline = time() + PATIENCE
    while not heard():
        assert time() < deadline, "a letter has not arrived"
        await listen(GLANCE)


def words():
    """By name: the schema of everything that one version writes and another reads, defaults included."""
    models = (JoinRequest, JoinBundle, *get_args(FromHub), Report, *get_args(FromHospital), *get_args(FromAggregator))
    job = resource_schema(FederatedJob)["properties"]["spec"]
    return {"FederatedJob": job} | {each.__name__: each.model_json_schema() for each in models}


class Hub:
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
        await until(lambda: self._heard() >= told, self.correspondent.listen)
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


class Hospital:
    """A hospital's operator, with its Datasets, its ledger, and people who decide."""

    def __init__(self, log, folder):
        datasets._CALM = admitting._CALM = 0.0
        self.log, self.clerk, self.agent, self.ahead = log, Clerk(), None, timedelta()
        self.riverside = Riverside(Path(folder)).start_ledger()
        self.api = self.riverside.api
        agents.now = lambda: datetime.now(UTC) + self.ahead

    def request(self):
        """What `consilia enroll request` does."""
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
        self.riverside.restart_operator()

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
        await until(lambda: self.agent.heard.serial >= said, self.agent.listen)
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
        """The HospitalTask, if there is one, and whether a trainer runs for it."""
        found = self._task(job)
        trainer = found and self.riverside.trainer(key_of(kinds.HOSPITAL_TASK, found))
        return found and {"spec": found["spec"], "status": found.get("status", {}), "trains": trainer is not None}

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


class Programs:
    """The programs of jobs, as `consilia run` starts them: forked, so that frameworks are loaded once only."""

    def __init__(self, module):
        importlib.import_module(module)
        self.running = set()

    def prepare(self, folder, job, sites):
        """Settings, keys and roster of a job's programs, as this version writes them."""
        from consilia_workers.local.folder import SeedFolder
        from consilia_workers.local.site import Site

        Path(folder).mkdir(parents=True)
        found = [Site.model_validate(each) for each in sites]
        SeedFolder(Path(folder)).prepare(FederatedJob.model_validate(job), found)

    def start(self, program, settings, output):
        """Its process id."""
        from consilia_workers import programs

        if not (pid := os.fork()):
            code = 1
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                into = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(into, 1)
                os.dup2(into, 2)
                code = programs.guarded(lambda: programs.PROGRAMS[program](Path(settings)))
            finally:  # whatever happens, the child must not go on as a second one of us
                sys.stderr.flush()
                os._exit(code)
        self.running.add(pid)
        return pid

    def wait(self, pid, seconds):
        """Until it ends: its exit code; None if it does not in time."""
        deadline = time() + seconds
        while time() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self.running.remove(pid)
                return os.waitstatus_to_exitcode(status)
            sleep(GLANCE / 10)
        return None

    def end(self, pid):
        """At once."""
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.running.remove(pid)

    def close(self):
        """End all that still run."""
        for pid in sorted(self.running):
            self.end(pid)


def serve(side):
    """Answer until nobody asks any more. What is printed on the way goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print(json.dumps({"gave": [consilia.__version__, consilia.__file__]}), file=answers, flush=True)
    try:
        for line in sys.stdin:
            asked = json.loads(line)
            do = asked.pop("do")
            try:
                answer = {"gave": words() if do == "words" else getattr(side, do)(**asked)}
            except Exception:  # noqa: BLE001 (the one who asked is told)
                answer = {"failed": traceback.format_exc()}
            print(json.dumps(answer), file=answers, flush=True)
    finally:
        side.close()


def main(role, *arguments):
    """Be it."""
    serve({"hub": Hub, "hospital": Hospital, "programs": Programs}[role](*arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
