"""A job's aggregator: its identity, its settings, its Deployment with Service and NetworkPolicy."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from consilia.enrolment.keeping import IDENTITY_FILE, identity_files
from consilia.progress import STATUS_PORT
from consilia.wire.identity import Identity
from consilia_operator.kinds import CONFIG_MAP, DEPLOYMENT, SECRET, SERVICE, Kind
from consilia_operator.manifests import network, pod
from consilia_operator.manifests.begun_with import BegunWith
from consilia_operator.names import COMPONENT, JOB_UID, SETTINGS, child, job_labels, owner_reference
from consilia_operator.settings import OperatorSettings

Document = dict[str, Any]

AGGREGATOR: Final = "aggregator"
CONTAINER = AGGREGATOR
ROSTER_FILE, JOB_FILE = "roster.json", "job.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorParts:
    """What an aggregator is made from."""

    job: Document
    roster: Mapping[str, object]
    log: Mapping[str, bytes]
    """The files of its credentials."""
    log_address: network.LogAddress
    running: bool
    """False: no pod, but all that it needs to go on."""
    operator_namespace: str


def name_of(job: Mapping[str, Any]) -> str:
    """What all objects of a job's aggregator are called."""
    return child(job["metadata"]["name"], AGGREGATOR)


def encoded(files: Mapping[str, bytes]) -> dict[str, str]:
    """As a Secret's data."""
    return {name: base64.b64encode(content).decode() for name, content in sorted(files.items())}


def identity(job: Document) -> Document:
    """The Secret with the aggregator's key, made once: a second key would not be on the roster."""
    files = identity_files(Identity.generate(AGGREGATOR))
    return _named(SECRET, job) | {"type": "Opaque", "immutable": True, "data": encoded(files)}


def pinned_roster(job: Document, roster: Mapping[str, object]) -> Document:
    """The ConfigMap with the roster, made once: whoever joins the hub later does not join this job."""
    document = _named(CONFIG_MAP, job)
    document["metadata"]["name"] = roster_name(job)
    return document | {"immutable": True, "data": {ROSTER_FILE: _json(roster)}}


def roster_name(job: Mapping[str, Any]) -> str:
    """What the pinned roster's ConfigMap is called."""
    return child(job["metadata"]["name"], "roster")


def documents(parts: AggregatorParts, settings: OperatorSettings) -> list[Document]:
    """All that runs an aggregator, but its identity and roster."""
    configuration, credentials = _configuration(parts), _credentials(parts)
    return [
        configuration,
        credentials,
        _service(parts.job),
        *([_policy(parts, settings)] if settings.network_policies else []),
        _deployment(parts, settings, digest_of(configuration["data"])),
    ]


def _configuration(parts: AggregatorParts) -> Document:
    settings = {
        "job": f"{pod.CONFIG}/{JOB_FILE}",
        "log": f"kafka://{pod.LOG_FOLDER}/kafka.json",
        "roster": f"{pod.CONFIG}/{ROSTER_FILE}",
        "key": f"{pod.IDENTITY_FOLDER}/{IDENTITY_FILE}",
        "work": pod.WORK,
        "status_port": STATUS_PORT,
    }
    data = {"settings.json": _json(settings), JOB_FILE: _json(offered_job(parts.job)), ROSTER_FILE: _json(parts.roster)}
    return _named(CONFIG_MAP, parts.job) | {"data": data}


def offered_job(job: Mapping[str, Any]) -> Document:
    """The job as its parties are told it: without its status, and of how it is run only what concerns them."""
    spec = {name: value for name, value in job["spec"].items() if name != "runPolicy"}
    if (limit := job["spec"].get("runPolicy", {}).get("backoffLimit")) is not None:
        spec["runPolicy"] = {"backoffLimit": limit}
    metadata = {name: job["metadata"][name] for name in ("name", "namespace", "uid")}
    return {"apiVersion": job["apiVersion"], "kind": job["kind"], "metadata": metadata, "spec": spec}


def _credentials(parts: AggregatorParts) -> Document:
    document = _named(SECRET, parts.job)
    document["metadata"]["name"] = log_secret(parts.job)
    return document | {"type": "Opaque", "data": encoded(parts.log)}


def log_secret(job: Mapping[str, Any]) -> str:
    """What the Secret with the aggregator's way to the log is called."""
    return child(job["metadata"]["name"], "aggregator-log")


def digest_of(data: Mapping[str, str]) -> str:
    """Stands for a program's settings: on the pod, so that it starts anew with others."""
    return sha256(_json(data).encode()).hexdigest()[:32]


def _deployment(parts: AggregatorParts, settings: OperatorSettings, digest: str) -> Document:
    own = _pod_labels(parts.job)
    name = name_of(parts.job)
    program = pod.Program(
        name=CONTAINER,
        image=parts.job["spec"]["task"].get("image") or settings.images.worker,
        arguments=(AGGREGATOR, pod.SETTINGS_FILE),
        resources=settings.sizes.aggregator,
        mounts=(
            pod.config("config", pod.CONFIG, name),
            pod.secret("identity", pod.IDENTITY_FOLDER, name),
            pod.secret("log", pod.LOG_FOLDER, log_secret(parts.job)),
            pod.scratch("work", pod.WORK),
            pod.scratch("tmp", "/tmp"),  # noqa: S108 (an emptyDir of this pod's own)
        ),
    )
    document = _named(DEPLOYMENT, parts.job)
    document["metadata"]["annotations"] = BegunWith.of(settings, AGGREGATOR).annotations()
    return document | {
        "spec": {
            "replicas": 1 if parts.running else 0,
            # Two aggregators would fence each other off the log in turn.
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": own},
            "template": {
                "metadata": {"labels": job_labels(parts.job, AGGREGATOR), "annotations": {SETTINGS: digest}},
                "spec": pod.spec(program, settings, restart="Always") | {"terminationGracePeriodSeconds": 10},
            },
        }
    }


def _service(job: Document) -> Document:
    port = {"name": pod.STATUS, "port": STATUS_PORT, "targetPort": pod.STATUS, "protocol": "TCP"}
    document = _named(SERVICE, job)
    document["metadata"]["name"] = service_name(job)
    return document | {"spec": {"selector": _pod_labels(job), "ports": [port]}}


def service_name(job: Mapping[str, Any]) -> str:
    """What the Service is called: as all the others, but a Service's name begins with a letter (RFC 1035)."""
    name = job["metadata"]["name"]
    return child(name if name[0].isalpha() else f"job-{name}", AGGREGATOR)


def _policy(parts: AggregatorParts, settings: OperatorSettings) -> Document:
    listeners = network.Listeners(
        operator_namespace=parts.operator_namespace, monitoring=settings.monitoring.namespace_labels
    )
    return network.policy(
        _named(SERVICE, parts.job)["metadata"],
        _pod_labels(parts.job),
        ingress=[listeners.ingress()],
        egress=[network.NAMES, parts.log_address.egress()],
    )


def _pod_labels(job: Document) -> dict[str, str]:
    return {JOB_UID: job["metadata"]["uid"], COMPONENT: AGGREGATOR}


def _named(kind: Kind, job: Document) -> Document:
    metadata = {
        "name": name_of(job),
        "namespace": job["metadata"]["namespace"],
        "labels": job_labels(job, AGGREGATOR),
        "ownerReferences": [owner_reference(job)],
    }
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True)
