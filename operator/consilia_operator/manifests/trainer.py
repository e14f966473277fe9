"""A hospital's trainer: a batch/v1 Job with its settings, its claim and its NetworkPolicy."""

import math
import re
from dataclasses import dataclass
from typing import Any, Final

from consilia.api import Dataset, HospitalTask
from consilia.api.pod_template import merge
from consilia.enrolment.keeping import IDENTITY_FILE
from consilia.progress import STATUS_PORT
from consilia_operator import names
from consilia_operator.kinds import CONFIG_MAP, JOB, NETWORK_POLICY, PVC, Kind
from consilia_operator.manifests import ledger, network, pod
from consilia_operator.manifests.aggregator import JOB_FILE, ROSTER_FILE, digest_of
from consilia_operator.manifests.begun_with import BegunWith
from consilia_operator.manifests.offer import log_secret
from consilia_operator.names import (
    COMPONENT,
    HOSPITAL,
    IDENTITY,
    PUBLIC_SIZE,
    QUEUE,
    SETTINGS,
    TASK,
    child,
    labels,
    owner_reference,
)
from consilia_operator.settings import OperatorSettings, Resources

Document = dict[str, Any]

TRAINER: Final = "trainer"
GPU = "nvidia.com/gpu"
_CPU = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)(m?)")
_MOST_THREADS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerParts:
    """What a trainer is made from."""

    task: HospitalTask
    document: Document
    """The HospitalTask as the API server has it."""
    dataset: Dataset
    log_address: network.LogAddress
    operator_namespace: str
    backoff_limit: int


def name_of(task: str) -> str:
    """What a HospitalTask's trainer is called."""
    return child(task, TRAINER)


def state_claim(parts: TrainerParts, settings: OperatorSettings) -> Document:
    """The claim that keeps what must survive the pod; its size cannot be changed later."""
    document = _named(PVC, parts)
    document["metadata"]["name"] = claim_name(parts)
    return document | {"spec": pod.claim_spec(settings.storage.trainer, settings)}


def claim_name(parts: TrainerParts) -> str:
    """The claim's name."""
    return child(parts.task.metadata.name, "state")


def documents(parts: TrainerParts, settings: OperatorSettings) -> list[Document]:
    """All that runs a trainer, but its claim; the Job is the last."""
    template = _template(parts, settings)
    configuration = _configuration(parts, _threads(template))
    template["metadata"].setdefault("annotations", {})[SETTINGS] = digest_of(configuration["data"])
    return [
        configuration,
        *([_policy(parts, settings)] if settings.network_policies else []),
        _job(parts, settings, template),
    ]


def _configuration(parts: TrainerParts, threads: int) -> Document:
    settings: Document = {
        "job": f"{pod.CONFIG}/{JOB_FILE}",
        "log": f"kafka://{pod.LOG_FOLDER}/kafka.json",
        "roster": f"{pod.CONFIG}/{ROSTER_FILE}",
        "key": f"{pod.IDENTITY_FOLDER}/{IDENTITY_FILE}",
        "hospital": parts.task.spec.hospital,
        "state": pod.STATE,
        "data_parameters": parts.dataset.spec.parameters,
        "threads": threads,
        "status_port": STATUS_PORT,
    }
    if mounted := pod.data(parts.dataset.spec.source):
        settings["data"] = mounted.path
    settings |= _of_the_ledger(parts)
    return _named(CONFIG_MAP, parts) | {"data": pod.settings_data(settings)}


def _of_the_ledger(parts: TrainerParts) -> Document:
    """What a job without privacy need not know is left out: its trainer is not made anew for it."""
    dataset = parts.dataset.spec
    found: Document = {"budgeted": True} if dataset.privacy_budget else {}
    if parts.task.spec.privacy:
        url = ledger.url_of(parts.document["metadata"]["namespace"])
        found |= {"ledger": url, "unit": dataset.unit, "public_size": dataset.public_size}
    return found


def _template(parts: TrainerParts, settings: OperatorSettings) -> Document:
    """The pod, with what the job's author asked for merged in, as far as the hospital's safety allows."""
    task = parts.task.spec
    name = parts.task.metadata.name
    program = pod.Program(
        name=TRAINER,
        image=task.task.image or settings.images.worker,
        arguments=(TRAINER, pod.SETTINGS_FILE),
        resources=with_gpus(settings.sizes.trainer, task.gpu),
        mounts=(
            pod.config("config", pod.CONFIG, name, name_of(name)),
            pod.secret("identity", pod.IDENTITY_FOLDER, IDENTITY),
            pod.secret("log", pod.LOG_FOLDER, log_secret(name)),
            pod.claim("state", pod.STATE, claim_name(parts)),
            pod.scratch("tmp", "/tmp"),  # noqa: S108 (an emptyDir of this pod's own)
            *([mounted] if (mounted := pod.data(parts.dataset.spec.source)) else []),
        ),
        probed=False,
    )
    own = {"metadata": {"labels": _labels(parts)}, "spec": pod.spec(program, settings, restart="Never")}
    return merge(task.pod_template, own) if task.pod_template else own


def with_gpus(sizes: Resources, gpus: int) -> Resources:
    """Extended resources are asked for by their limit alone; Kubernetes makes it the request."""
    if not gpus:
        return sizes
    return {**sizes, "limits": {**sizes.get("limits", {}), GPU: str(gpus)}}


def _threads(template: Document) -> int:
    """As many threads as whole cores are asked for; more would take turns. Of an amount that is none: one."""
    resources = template["spec"]["containers"][0].get("resources", {})
    asked = resources.get("limits", {}).get("cpu") or resources.get("requests", {}).get("cpu") or "1"
    amount = _CPU.fullmatch(str(asked))
    if amount is None:
        return 1
    cores = float(amount[1]) / (1000 if amount[2] else 1)
    return min(max(1, math.ceil(cores)), _MOST_THREADS)


def _job(parts: TrainerParts, settings: OperatorSettings, template: Document) -> Document:
    """Deterministic failures end it at once."""
    document = _named(JOB, parts)
    document["metadata"]["annotations"] = BegunWith.of(settings, TRAINER).annotations()
    if parts.task.spec.privacy:
        document["metadata"]["annotations"][PUBLIC_SIZE] = str(parts.dataset.spec.public_size)
    if queue := parts.document["metadata"].get("labels", {}).get(QUEUE):
        document["metadata"]["labels"][QUEUE] = queue
    # A job without privacy has no budget to exhaust; another list would end its trainer when the operator is upgraded.
    final = (pod.EXIT_FAILED, pod.EXIT_EXHAUSTED) if parts.task.spec.privacy else (pod.EXIT_FAILED,)
    spec = pod.job_spec(TRAINER, template, backoff_limit=parts.backoff_limit, final=final)
    return document | {"spec": spec | {"completions": 1, "parallelism": 1}}


def _policy(parts: TrainerParts, settings: OperatorSettings) -> Document:
    listeners = network.Listeners(
        operator_namespace=parts.operator_namespace, monitoring=settings.monitoring.namespace_labels
    )
    return network.policy(
        _named(NETWORK_POLICY, parts)["metadata"],
        {TASK: parts.task.metadata.name, COMPONENT: TRAINER},
        ingress=[listeners.ingress()],
        egress=[
            network.NAMES,
            parts.log_address.egress(),
            *([ledger.egress()] if parts.task.spec.privacy else []),
        ],
    )


def _labels(parts: TrainerParts) -> dict[str, str]:
    """With the job's, by which Prometheus puts a trainer's series beside the aggregator's."""
    task, job = parts.task, parts.task.spec.job
    of_job = {names.JOB: job.name, names.JOB_NAMESPACE: job.namespace or parts.document["metadata"]["namespace"]}
    return labels(TRAINER) | of_job | {TASK: task.metadata.name, HOSPITAL: task.spec.hospital}


def _named(kind: Kind, parts: TrainerParts) -> Document:
    metadata = {
        "name": name_of(parts.task.metadata.name),
        "namespace": parts.document["metadata"]["namespace"],
        "labels": _labels(parts),
        "ownerReferences": [owner_reference(parts.document)],
    }
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
