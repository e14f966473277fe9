"""A hospital's side of the operator over an API server in memory, with a real ledger that answers on loopback."""

import asyncio
import shutil
from contextlib import contextmanager
from copy import deepcopy

from api_documents import KEY, document
from api_server_in_memory import ApiServerInMemory, _merged
from prometheus_client import CollectorRegistry
from transport_in_memory import TransportInMemory

from consilia.ledger.remote import RemoteLedger
from consilia.wire.identity import Identity, PublicKey, Roster
from consilia_operator import datasets, hospital_tasks, hospitals, kinds, ledgers
from consilia_operator.applying import Applying
from consilia_operator.conditions import condition, timestamp
from consilia_operator.context import Context, now
from consilia_operator.identities import private_key
from consilia_operator.manifests.identity import new_identity
from consilia_operator.manifests.inspection import name_of as inspection_of
from consilia_operator.manifests.offer import Offer, hospital_task, papers
from consilia_operator.manifests.trainer import name_of as trainer_of
from consilia_operator.metrics import Metrics
from consilia_operator.progress_watch import ProgressWatch
from consilia_operator.settings import OperatorSettings
from consilia_operator.store import Key, Store, key_of
from consilia_operator.work_queue import WorkQueue
from consilia_workers import inspection
from consilia_workers.inspection import InspectionSettings
from consilia_workers.ledger_service import LedgerServer, open_or_why_not

NAME, HUB = "riverside", "hub"
SETTINGS = OperatorSettings.model_validate(
    {"images": {"worker": "worker:1", "kafka": "kafka:1"}, "gpus": [{"product": "NVIDIA-H100", "count": 4}]}
)
LOG = {"kafka.json": b'{"bootstrapServers": ["consilia-kafka.hub.svc:9093"]}'}
APPROVED = {"approval": {"mode": "Automatic", "tasks": ["package.module:Task"]}}
CLAIMED = {"source": {"persistentVolumeClaim": {"claimName": "records"}}}
BUDGETED = {"publicSize": 1000, "privacyBudget": {"epsilon": "3", "delta": "1e-5"}}
PRIVATE = {"privacy": {"epsilon": "2", "delta": "1e-5"}, "training": {"localSteps": 5, "batchSize": 50}}


class ApiServerOfHospital(ApiServerInMemory):
    """What the dictionary lacks for whole looks: statuses, Events, and when something was made."""

    async def write_status(self, document, status):
        key = (document["kind"], document["metadata"]["namespace"], document["metadata"]["name"])
        there = self._objects.get(key)
        return None if there is None else self._store(key, there | {"status": dict(status)})

    async def create(self, document):
        return document

    async def merge(self, kind, namespace, name, patch):
        there = self._objects.get((kind.kind, namespace, name))
        return None if there is None else self._store((kind.kind, namespace, name), _merged(there, patch))

    async def delete(self, kind, namespace, name, *, uid=""):
        there = self._objects.get((kind.kind, namespace, name))
        if there and uid in ("", there["metadata"]["uid"]):
            await super().delete(kind, namespace, name)

    def gone(self, kind, namespace, name):
        return self._objects.pop((kind.kind, namespace, name))

    def _store(self, key, document):
        document["metadata"].setdefault("creationTimestamp", timestamp(now()))
        return super()._store(key, document)


class Riverside:
    """One hospital, and what people and programs do there."""

    def __init__(self, folder):
        self.folder, self.server, self.api = folder, None, ApiServerOfHospital()
        secret = self.api.put(new_identity(NAME))
        self.identity = Identity(NAME, private_key(secret))
        self.data = folder / "records.csv"
        self.data.write_text("".join(f"patient {number},{number * 7919 % 97}\n" for number in range(500)))
        self.api.put(_named("v1", "PersistentVolumeClaim", NAME, "records"))
        self.restart_operator()

    def restart_operator(self):
        """Another process: it knows what lies in the cluster, and nothing else."""
        store = Store()
        applying = Applying(self.api, store)
        self.context = Context(
            settings=SETTINGS, namespace="consilia", api=self.api, store=store, queue=WorkQueue(), applying=applying,
            progress=ProgressWatch(None, print), transport=TransportInMemory(), metrics=Metrics(CollectorRegistry()),
            ledgers=ledgers.Ledgers(
                api=self.api, applying=applying, settings=SETTINGS, operator_namespace="consilia",
                address=lambda _: self.address,
            ),
        )  # fmt: skip

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server.port if self.server else 1}"

    def start_ledger(self):
        self.server = LedgerServer(0, self.identity, open_or_why_not(self.folder / "ledger", self.identity))
        self.server.start()
        return self

    def stop_ledger(self):
        if self.server:
            self.server.close()
        self.server = None

    @property
    def ledger(self):
        """As a trainer reaches it."""
        return RemoteLedger(self.address, self.identity)

    @contextmanager
    def rolled_back(self):
        """Whatever is written within is lost: an older copy of the ledger's folder is put back."""
        shutil.copytree(self.folder / "ledger", self.folder / "backup")
        yield
        self.stop_ledger()
        shutil.rmtree(self.folder / "ledger")
        (self.folder / "backup").rename(self.folder / "ledger")
        self.start_ledger()

    def apply(self, changes=None, name="patients"):
        """Somebody applies a Dataset."""
        made = document(
            "Dataset",
            {**deepcopy({**APPROVED, **(changes or {})}), ".metadata.namespace": NAME, ".metadata.name": name},
        )
        return self.api.put(made | {"status": (self.dataset(name) or {}).get("status", {})})

    def offer(self, changes=None, name="study"):
        """The hub offers a job: the HospitalTask and its papers."""
        job = document(
            "FederatedJob",
            {
                **deepcopy(changes or {}),
                ".metadata.name": name,
                "hospitals": {"names": [NAME], "minReady": 1, "minUpdates": 1},
            },
        )
        job["metadata"] |= {"namespace": HUB, "uid": f"uid-of-{name}"}
        roster = Roster(PublicKey.from_text(KEY), {NAME: self.identity.public()})
        offered = Offer(job=job, hospital=NAME, roster=roster.as_json(), roster_digest=roster.digest(), withdrawn=False)
        task = self.api.put(hospital_task(offered))
        for paper in papers(offered, task, LOG):
            self.api.put(paper)
        return key_of(kinds.HOSPITAL_TASK, task)

    def look(self):
        """Looks at everything, as often as it takes to settle; twice is enough for what happens in between."""
        asyncio.run(self._look())
        asyncio.run(self._look())

    async def _look(self):
        ours = {kinds.DATASET: datasets, kinds.HOSPITAL_TASK: hospital_tasks, kinds.HOSPITAL: hospitals}
        gone = []
        for kind, module in ours.items():
            gone += self._sync()
            there = [key_of(kind, each) for each in self.context.store.all(kind)]
            for key in [*there, *(key for key in gone if key.kind == kind)]:
                await module.reconcile(self.context, key)
        self._sync()

    def _sync(self):
        """What the watches would have shown by now; what is gone."""
        store, there, gone = self.context.store, self.api.every(), []
        for kind in {kinds.of(each) for each in there} | set(store._by_kind):
            found = [each for each in there if each["kind"] == kind.kind]
            gone += store.replace(kind, None, found, str(next(self.api._numbers)))[1]
        return gone

    def inspect(self, name="patients"):
        """The inspection's pod runs, as its Job was made."""
        found = self.there(kinds.CONFIG_MAP, inspection_of(name))["data"]["settings.json"]
        settings = InspectionSettings.model_validate_json(found)
        key = self.folder / "identity.pem"
        if not key.exists():
            self.identity.save(key)
        here = {"data": self.data, "key": key, "ledger": self.address}
        settings.model_copy(update=here).save(self.folder / "inspection.json")
        code = inspection.main(self.folder / "inspection.json")
        self.ended(inspection_of(name), "Complete")
        return code

    def ready(self, changes=None, name="patients"):
        """A Dataset that was applied, inspected and found ready."""
        self.apply({**CLAIMED, **BUDGETED, **(changes or {})}, name)
        self.look()
        self.look()  # an older one's inspection is cleared away first
        self.inspect(name)
        self.look()
        return self

    def ended(self, job, how, message=""):
        found = self.there(kinds.JOB, job)
        self.api.put(found | {"status": {"conditions": [{"type": how, "status": "True", "message": message}]}})

    def there(self, kind, name):
        return self.api.there(kind, NAME, name)

    def dataset(self, name="patients"):
        return self.there(kinds.DATASET, name)

    def status(self, name="patients"):
        return self.dataset(name)["status"]

    def says(self, of_type, name="patients"):
        """Status and reason of a Dataset's condition."""
        return _says(self.dataset(name), of_type)

    def task_says(self, key, of_type):
        return _says(self.there(kinds.HOSPITAL_TASK, key.name), of_type)

    def told(self, key, of_type):
        task = self.there(kinds.HOSPITAL_TASK, key.name)
        return condition(task["status"]["conditions"], of_type)["message"]

    def task_status(self, key):
        return self.there(kinds.HOSPITAL_TASK, key.name)["status"]

    def trainer(self, key):
        """Its Job, if there is one."""
        return self.there(kinds.JOB, trainer_of(key.name))

    def change(self, key: Key, **spec):
        task = self.there(kinds.HOSPITAL_TASK, key.name)
        self.api.put(task | {"spec": task["spec"] | spec})


def _says(found, of_type):
    said = condition(found.get("status", {}).get("conditions", ()), of_type)
    return (said["status"], said["reason"]) if said else None


def _named(api_version, kind, namespace, name):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace, "name": name}}
