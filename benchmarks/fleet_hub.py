"""A hub whose hospitals have clusters of their own: a real API server, a real Kafka, the real operator; no pods.

The benchmark is what a cluster would be: kubelet for the broker of the managed Kafka, and its DNS.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.costs import held
from benchmarks.fleet_member import DATASET, TASK_NAME
from benchmarks.hub import HUB_NAMESPACE, Hub, Sight
from benchmarks.operator_process import NAMESPACE
from consilia.certificates import new_key, request_certificate
from consilia.enrolment.keeping import BUNDLE_FILE, KEY_FILE, identity_files, key_pem
from consilia.log import Log, follow, topics
from consilia.log.opening import open_log
from consilia.wire.identity import Identity
from consilia_operator import kinds
from consilia_operator.conditions import condition, holds
from consilia_operator.members import bundle_name
from consilia_operator.names import KAFKA
from consilia_operator.transport.credentials import by_certificate
from consilia_operator.transport.leaves import CERTIFICATE, KEY
from tests.support.api_server_in_memory import ApiServerInMemory
from tests.support.brokers_on_loopback import BrokersOnLoopback

PATIENCE = 1800.0
"""After so many seconds a step is given up."""
PORT = 9096
OUTSIDE = {"type": "LoadBalancer", "host": "kafka-{broker}.hub.example", "port": PORT}
LABEL = "fleet"
_API = "consilia.dev/v1alpha1"
_TOPICS = ("consilia.offers.", "consilia.reports.")

Document = dict[str, Any]


@dataclass(slots=True)
class Kafka:
    """The managed Kafka of the hub: one broker, as the operator has described it."""

    folder: Path
    names: Path
    """Where the names are written that its clients need."""
    _brokers: BrokersOnLoopback | None = None

    async def start(self, hub: Hub) -> None:
        """Wait until the operator has made its objects, and run what they describe."""
        await Sight(hub.api, kinds.STATEFUL_SET, lambda _: True).seen(1, PATIENCE)
        there = ApiServerInMemory()
        for kind in (kinds.STATEFUL_SET, kinds.CONFIG_MAP, kinds.SECRET):
            for document in await hub.api.list(kind, HUB_NAMESPACE):
                there.put(document)
        self._brokers = BrokersOnLoopback(there, HUB_NAMESPACE, self.folder)
        outside = {OUTSIDE["host"].replace("{broker}", "0"): next(iter(self._brokers.addresses.values()))}  # type: ignore[attr-defined]
        self.names.write_text(json.dumps(self._brokers.addresses | outside), encoding="utf-8")
        await asyncio.to_thread(self._brokers.start)
        made = await hub.api.get(kinds.STATEFUL_SET, HUB_NAMESPACE, KAFKA)
        assert made is not None
        await hub.api.write_status(made, {"replicas": 1, "readyReplicas": 1, "observedGeneration": 1})

    def stop(self) -> None:
        """At once."""
        if self._brokers:
            self._brokers.kill()

    def process(self) -> psutil.Process:
        """Of the broker."""
        assert self._brokers is not None
        return psutil.Process(self._brokers._nodes[0].pid)  # noqa: SLF001

    def letters(self) -> tuple[int, float]:
        """What its letters' topics take: bytes of records, and MiB of the disk."""
        found = [each for each in (self.folder / "pod-0" / "data").iterdir() if each.name.startswith(_TOPICS)]
        records = sum(file.stat().st_size for topic in found for file in topic.glob("*.log"))
        blocks = sum(sum(held(topic).values()) for topic in found)
        return records, blocks * 512 / 2**20


@dataclass(frozen=True, slots=True)
class Applicant:
    """A hospital that wants to join, with its keys."""

    identity: Identity
    key: bytes
    request: str

    @classmethod
    def new(cls, name: str) -> "Applicant":
        """With new keys."""
        key = new_key()
        return cls(Identity.generate(name), key_pem(key), request_certificate(key, name).decode())

    @property
    def document(self) -> Document:
        """As `consilia enroll admit` makes it."""
        metadata = {"name": self.identity.name, "namespace": HUB_NAMESPACE, "labels": {LABEL: "yes"}}
        spec = {
            "accepted": True,
            "cluster": "Own",
            "publicKey": self.identity.public().text(),
            "certificateRequest": self.request,
        }
        return {"apiVersion": _API, "kind": "Hospital", "metadata": metadata, "spec": spec}

    def papers(self, bundle: str) -> Mapping[str, str]:
        """What lies in its namespace once it has accepted the bundle."""
        files = identity_files(self.identity) | {KEY_FILE: self.key}
        encoded = {name: base64.b64encode(content).decode() for name, content in files.items()}
        return {"name": self.identity.name, BUNDLE_FILE: bundle} | encoded


@dataclass(slots=True)
class Fleet:
    """The hub, as its owner sees it."""

    hub: Hub
    kafka: Kafka
    folder: Path
    _log: Log | None = None
    _read: dict[str, int] = field(default_factory=dict)
    written: dict[str, float] = field(default_factory=dict)
    """When the newest letter of a topic was written, by the writer's clock."""

    async def prepare(self) -> None:
        """The namespaces."""
        for name in (NAMESPACE, HUB_NAMESPACE):
            await self.hub.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def admit(self, names: Sequence[str]) -> list[Mapping[str, str]]:
        """Make Hospitals, and wait for their bundles: the papers of each."""
        applicants = [Applicant.new(name) for name in names]
        for each in applicants:
            await self.hub.api.create(each.document)
        if self._log is None:
            await self.kafka.start(self.hub)
        ours = {bundle_name(name) for name in names}
        there = Sight(self.hub.api, kinds.CONFIG_MAP, lambda found: found["metadata"]["name"] in ours)
        await there.seen(len(names), PATIENCE)
        found = {each["metadata"]["name"]: each for each in await self.hub.api.list(kinds.CONFIG_MAP, HUB_NAMESPACE)}
        bundles = (found[bundle_name(name)]["data"][BUNDLE_FILE] for name in names)
        return [each.papers(bundle) for each, bundle in zip(applicants, bundles, strict=True)]

    async def all_joined(self, count: int) -> float:
        """When the hub's status said it of the last."""

        def joined(hospital: Document) -> bool:
            conditions = hospital.get("status", {}).get("conditions", ())
            return holds(conditions, "Joined") and holds(conditions, "Available")

        return await Sight(self.hub.api, kinds.HOSPITAL, joined).seen(count, PATIENCE)

    async def offer(self, name: str, hospitals: int) -> None:
        """A job that selects all."""
        selected = {"selector": {"matchLabels": {LABEL: "yes"}}, "minReady": max(1, hospitals // 2), "minUpdates": 1}
        spec = {
            "task": {"entrypoint": TASK_NAME},
            "dataset": DATASET,
            "hospitals": selected,
            "rounds": {"count": 50, "deadlineSeconds": 600},
            "training": {"localSteps": 20, "batchSize": 16, "optimizer": {"name": "SGD", "learningRate": "0.1"}},
        }
        metadata = {"name": name, "namespace": HUB_NAMESPACE}
        await self.hub.api.create({"apiVersion": _API, "kind": "FederatedJob", "metadata": metadata, "spec": spec})

    async def answered(self, hospitals: int, holds: Callable[[Document], bool]) -> float:
        """When the job's status said of all hospitals what each has decided."""

        def all_have(job: Document) -> bool:
            rows = job.get("status", {}).get("hospitals", ())
            return len(rows) == hospitals and all(holds(each) for each in rows)

        return await Sight(self.hub.api, kinds.FEDERATED_JOB, all_have).seen(1, PATIENCE)

    async def job(self, name: str) -> Document:
        """As it is now."""
        found = await self.hub.api.get(kinds.FEDERATED_JOB, HUB_NAMESPACE, name)
        assert found is not None
        return found

    async def available(self) -> int:
        """How many hospitals the hub says it hears of."""
        found = await self.hub.api.list(kinds.HOSPITAL, HUB_NAMESPACE)
        said = (condition(each.get("status", {}).get("conditions", ()), "Available") for each in found)
        return sum(1 for each in said if each and each["status"] == "True")

    async def open_log(self, bundle: str) -> None:
        """As the operator does; whom to trust stands in every hospital's bundle."""
        secrets = {each["metadata"]["name"]: each for each in await self.hub.api.list(kinds.SECRET, HUB_NAMESPACE)}
        own = {name: base64.b64decode(text) for name, text in secrets[f"{KAFKA}-operator"]["data"].items()}
        address = next(iter(json.loads(self.kafka.names.read_text(encoding="utf-8"))))
        found = by_certificate((f"{address}:9094",), json.loads(bundle)["ca"].encode(), own[CERTIFICATE], own[KEY])
        place = self.folder / "reader"
        place.mkdir()
        for name, content in found.files.items():
            (place / name).write_bytes(content)
            (place / name).chmod(0o600)
        self._log = await asyncio.to_thread(open_log, f"kafka://{place / 'kafka.json'}")

    def news(self, names: Sequence[str], of: Callable[[str], str] = topics.reports) -> list[int]:
        """The sizes of the letters on these hospitals' topics since this was asked last."""
        assert self._log is not None
        sizes = list[int]()
        for topic in map(of, names):
            for record in follow(self._log, topic, self._read.get(topic, 0)):
                self._read[topic], self.written[topic] = record.offset + 1, record.timestamp
                sizes.append(len(record.value))
        return sizes

    def close(self) -> None:
        """Leave the log, and end the broker."""
        if self._log:
            self._log.close()
        self.kafka.stop()


@contextmanager
def fleet(hub: Hub, folder: Path) -> Iterator[Fleet]:
    """Within the block it can be used."""
    found = Fleet(hub, Kafka(folder / "kafka", folder / "names.json"), folder)
    try:
        yield found
    finally:
        found.close()
