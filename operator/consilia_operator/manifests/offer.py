"""What a hospital is offered: the HospitalTask, and beside it the job, the roster and the way to the log."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consilia.api import FederatedJob
from consilia.wire.config_digest import config_digest
from consilia_operator.kinds import CONFIG_MAP, HOSPITAL_TASK, SECRET
from consilia_operator.manifests.aggregator import JOB_FILE, ROSTER_FILE, encoded, offered_job
from consilia_operator.names import HOSPITAL, QUEUE, TASK, child, job_labels, owner_reference, task_name

Document = dict[str, Any]

OFFER = "offer"
_SHARED = ("dataset", "task", "rounds", "training", "evaluation", "personalization", "privacy", "secureAggregation",
           "compression", "stream", "transport")  # fmt: skip
"""The parts of a job's spec that a hospital decides on; the same words in both resources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One job to one hospital."""

    job: Document
    hospital: str
    """The hospital, and its namespace."""
    roster: Mapping[str, object]
    roster_digest: str
    withdrawn: bool
    """Take part no more: the job is suspended, or over."""


def hospital_task(offer: Offer) -> Document:
    """The HospitalTask, without `decision`: that is the hospital's to write."""
    spec = offer.job["spec"]
    metadata = offer.job["metadata"]
    asked = spec.get("resources") or {}
    reference = {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
        "configDigest": config_digest(FederatedJob.model_validate(offered_job(offer.job))),
        "rosterDigest": offer.roster_digest,
    }
    found: Document = {"job": reference, "hospital": offer.hospital, "gpu": asked.get("gpu", 0)}
    found |= {name: spec[name] for name in _SHARED if name in spec}
    if "podTemplate" in asked:
        found["podTemplate"] = asked["podTemplate"]
    found["suspend"] = offer.withdrawn
    return {
        "apiVersion": HOSPITAL_TASK.api_version,
        "kind": HOSPITAL_TASK.kind,
        "metadata": _metadata(offer, name_of(offer)),
        "spec": found,
    }


def name_of(offer: Offer) -> str:
    """The HospitalTask's name."""
    return task_name(offer.job["metadata"]["name"], offer.job["metadata"]["uid"])


def papers(offer: Offer, task: Document, log: Mapping[str, bytes]) -> list[Document]:
    """What goes with the HospitalTask, and is deleted with it."""
    data = {JOB_FILE: json.dumps(offered_job(offer.job), sort_keys=True), ROSTER_FILE: json.dumps(offer.roster)}
    name = task["metadata"]["name"]
    config = {"apiVersion": "v1", "kind": CONFIG_MAP.kind, "metadata": _owned(offer, task, name), "data": data}
    secret = {"apiVersion": "v1", "kind": SECRET.kind, "metadata": _owned(offer, task, log_secret(name))}
    return [config, secret | {"type": "Opaque", "data": encoded(log)}]


def log_secret(task: str) -> str:
    """What the Secret with the hospital's way to the log is called, for a HospitalTask of that name."""
    return child(task, "log")


def _metadata(offer: Offer, name: str) -> Document:
    labels = job_labels(offer.job, OFFER) | {HOSPITAL: offer.hospital}
    if queue := offer.job["metadata"].get("labels", {}).get(QUEUE):
        labels[QUEUE] = queue
    return {"name": name, "namespace": offer.hospital, "labels": labels}


def _owned(offer: Offer, task: Document, name: str) -> Document:
    metadata = _metadata(offer, name) | {"ownerReferences": [owner_reference(task)]}
    metadata["labels"] |= {TASK: task["metadata"]["name"]}
    return metadata
