"""A hub with four hospitals on an API server without nodes, and as many jobs as wanted."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.aio import client, config
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.operator_process import NAMESPACE
from consilia.errors import RunError
from consilia_operator.api_server import ApiServer
from consilia_operator.conditions import holds
from consilia_operator.kinds import Kind
from consilia_operator.names import HUB
from tests.cluster.bare import Bare, bare_cluster
from tests.cluster.commands import output
from tests.cluster.components import CONTROL

ROOT = Path(__file__).parents[1]
HUB_NAMESPACE = "hub"
HOSPITALS = ("north", "east", "south", "west")
AT_ONCE = 16
"""So many jobs are created side by side."""
_API = "consilia.dev/v1alpha1"
_TASK = "consilia_workers.tasks.heart_disease:HeartDisease"
_SERVER = "kafka.example:9093"
_CREDENTIALS = "kafka-access"
_OURS = frozenset({
    "configmaps", "datasets", "deployments", "events", "federatedjobs", "hospitals", "hospitaltasks", "jobs",
    "networkpolicies", "persistentvolumeclaims", "secrets", "services",
})  # fmt: skip
_ASKING = frozenset({"LIST", "WATCH"})

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hub:
    """The API server, as its administrator."""

    bare: Bare
    api: ApiServer

    async def settle_down(self) -> None:
        """Create the hospitals, which consent, approve and have their data."""
        for document in foundation():
            await self.api.create(document)

    async def create_jobs(self, names: Iterator[str], *, suspended: bool) -> None:
        """One for each name; some side by side."""

        async def create() -> None:
            for name in names:
                await self.api.create(job(name, suspended=suspended))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(create())

    async def requests(self) -> int:
        """How many the API server has answered so far, on the kinds that an operator deals with; lists apart."""
        text = await asyncio.to_thread(self.bare.ask, "/metrics")
        families = (each for each in text_string_to_metric_families(text) if each.name == "apiserver_request")
        counted = (sample for family in families for sample in family.samples if sample.name.endswith("_total"))
        return int(
            sum(
                each.value
                for each in counted
                if each.labels["resource"] in _OURS and each.labels["verb"] not in _ASKING
            )
        )


@dataclass(frozen=True, slots=True)
class Sight:
    """Looks at all objects of a kind by a watch of its own."""

    api: ApiServer
    kind: Kind
    holds: Callable[[Document], bool]

    async def seen(self, count: int, seconds: float) -> float:
        """Wait until so many objects are as they should be; the monotonic time when the last became so.

        Raises:
            RunError: too few did within the time.
        """
        found = set[tuple[str, str]]()
        try:
            async with asyncio.timeout(seconds):
                while len(found) < count:  # an API server that has much to do ends watches
                    await self._look(found, count, seconds)
        except TimeoutError:
            message = f"{len(found)} of {count} {self.kind.plural} were made ready within {seconds:.0f} s."
            raise RunError(message) from None
        return time.monotonic()

    async def _look(self, found: set[tuple[str, str]], count: int, seconds: float) -> None:
        listed, version = await self.api.snapshot(self.kind, "")
        found.update(_place(each) for each in listed if self.holds(each))
        if len(found) >= count:
            return
        async with self.api.watch(self.kind, "", "", version, seconds) as events:
            async for event in events:
                if event["type"] == "ERROR":
                    return
                if event["type"] in {"ADDED", "MODIFIED"} and self.holds(event["object"]):
                    found.add(_place(event["object"]))
                if len(found) >= count:
                    return


def _place(found: Document) -> tuple[str, str]:
    return found["metadata"]["namespace"], found["metadata"]["name"]


def looked_at(found: Document) -> bool:
    """Whether the operator has reconciled a suspended job."""
    status = found.get("status", {})
    generation = found["metadata"]["generation"]
    return bool(status.get("observedGeneration") == generation) and holds(status.get("conditions", ()), "Suspended")


def there(_: Document) -> bool:
    """That it exists is enough."""
    return True


@contextmanager
def api_server(folder: Path) -> Iterator[Bare]:
    """Within the block it runs, and serves our resources.

    Raises:
        ClusterError: it is not built, or does not start.
    """
    with bare_cluster(folder) as bare:
        kubectl: list[str | Path] = [CONTROL.folder / "kubectl", f"--kubeconfig={bare.kubeconfig}"]
        output(*kubectl, "create", "-f", ROOT / "crds")
        output(*kubectl, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        yield bare


@asynccontextmanager
async def open_hub(bare: Bare) -> AsyncIterator[Hub]:
    """A connection to it."""
    configuration = client.Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=str(bare.kubeconfig), client_configuration=configuration
    )
    async with client.ApiClient(configuration) as connected:
        yield Hub(bare, ApiServer(connected))


def foundation() -> Iterator[Document]:
    """Namespaces, Hospitals, Datasets, and the way to a Kafka that is somebody else's."""
    yield _document("v1", "Namespace", {"name": NAMESPACE})
    yield _document("v1", "Namespace", {"name": HUB_NAMESPACE})
    yield _secret(_CREDENTIALS)
    for name in HOSPITALS:
        yield _document("v1", "Namespace", {"name": name, "labels": {HUB: HUB_NAMESPACE}})
        yield _secret(f"{_CREDENTIALS}-{name}")
        approval = {"mode": "Automatic", "tasks": [_TASK], "logs": [_SERVER]}
        yield _document(_API, "Dataset", {"name": "heart-disease", "namespace": name}) | {
            "spec": {"source": {"builtin": {}}, "approval": approval}
        }
        yield _document(_API, "Hospital", {"name": name, "namespace": HUB_NAMESPACE}) | {"spec": {"accepted": True}}


def job(name: str, *, suspended: bool) -> Document:
    """One job with all four hospitals."""
    external = {"bootstrapServers": [_SERVER], "secretRef": {"name": _CREDENTIALS}}
    spec: Mapping[str, Any] = {
        "task": {"entrypoint": _TASK},
        "dataset": "heart-disease",
        "hospitals": {"names": list(HOSPITALS), "minReady": 4, "minUpdates": 3},
        "rounds": {"count": 50, "deadlineSeconds": 60},
        "training": {"localSteps": 20, "batchSize": 16, "optimizer": {"name": "SGD", "learningRate": "0.1"}},
        "evaluation": {"everyRounds": 1, "metrics": ["accuracy", "auc", "loss"]},
        "transport": {"external": external},
        "runPolicy": {"suspend": suspended},
    }
    return _document(_API, "FederatedJob", {"name": name, "namespace": HUB_NAMESPACE}) | {"spec": dict(spec)}


def _secret(name: str) -> Document:
    data = {"ca.crt": "none", "username": name, "password": "none"}
    return _document("v1", "Secret", {"name": name, "namespace": HUB_NAMESPACE}) | {"stringData": data}


def _document(api_version: str, kind: str, metadata: Mapping[str, object]) -> Document:
    return {"apiVersion": api_version, "kind": kind, "metadata": dict(metadata)}
