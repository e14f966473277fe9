"""What the objects that the operator makes are called, and by which labels they are found. Pure."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

GROUP = "consilia.dev"
FIELD_MANAGER = "consilia-operator"
MANAGED_BY = "app.kubernetes.io/managed-by"
COMPONENT = "app.kubernetes.io/component"
"""aggregator, trainer, ledger, inspection, kafka or identity."""
PART_OF = "app.kubernetes.io/part-of"
JOB, JOB_NAMESPACE, JOB_UID = f"{GROUP}/job", f"{GROUP}/job-namespace", f"{GROUP}/job-uid"
HOSPITAL = f"{GROUP}/hospital"
"""On what belongs to one hospital."""
TASK = f"{GROUP}/task"
"""On what belongs to one HospitalTask."""
DATASET = f"{GROUP}/dataset"
"""On what belongs to one Dataset."""
HUB = f"{GROUP}/hub"
"""On a hospital's namespace: the namespace whose jobs it agrees to be asked by. On a HospitalTask that came over the
log: the hub that it is from."""
SERIAL, EXPIRES = f"{GROUP}/offer-serial", f"{GROUP}/offer-expires"
"""Annotations on a HospitalTask that came over the log: which letter it is by, and until when that holds."""
QUEUE = "kueue.x-k8s.io/queue-name"
SETTINGS = f"{GROUP}/settings"
"""Annotation on pods: digest of the settings that their program was started with."""
APPLIED = f"{GROUP}/applied"
"""Annotation: digest of what was applied last."""
BEGUN_WITH = f"{GROUP}/begun-with"
"""Annotation: what of the operator's settings a running program was begun with."""
PUBLIC_SIZE = f"{GROUP}/public-size"
"""Annotation: the size of the data that a private job's trainer was begun with, from which its noise follows."""
SOURCE = f"{GROUP}/source"
"""Annotation: digest of what an inspection looks at."""
RESTING = f"{GROUP}/resting"
"""Annotation on a ledger's Deployment, by a person: no pod has the ledger's volume until it is removed."""
KAFKA = "consilia-kafka"
"""Name of the managed Kafka of a namespace, and the beginning of all its objects' names."""
IDENTITY = "consilia-identity"
"""The Secret with a hospital's Ed25519 key, in its namespace."""
HUB_IDENTITY = "consilia-hub-identity"
"""The Secret with the Ed25519 key of a hub, in the namespace of its jobs."""
LEDGER = "consilia-ledger"
"""Name of a hospital's ledger in its namespace, and of all its objects."""
_LONGEST = 63
_DIGITS = 8


def child(owner: str, suffix: str) -> str:
    """`OWNER-SUFFIX`, shortened so that it stays a DNS label; shortened names keep apart by a digest."""
    name = f"{owner}-{suffix}"
    if len(name) <= _LONGEST:
        return name
    digest = sha256(owner.encode()).hexdigest()[:_DIGITS]
    return f"{owner[: _LONGEST - len(suffix) - _DIGITS - 2]}-{digest}-{suffix}"


def task_name(job: str, uid: str) -> str:
    """The HospitalTask of a job: the same in every hospital's namespace, another for a job made anew."""
    return child(job, sha256(uid.encode()).hexdigest()[:_DIGITS])


def labels(component: str, **more: str) -> dict[str, str]:
    """What every object that the operator makes carries, and `more` by the names of this module."""
    return {MANAGED_BY: FIELD_MANAGER, PART_OF: "consilia", COMPONENT: component, **more}


def job_labels(job: Mapping[str, Any], component: str) -> dict[str, str]:
    """The labels of what belongs to a FederatedJob, given as a document."""
    metadata = job["metadata"]
    return labels(component) | {
        JOB: metadata["name"],
        JOB_NAMESPACE: metadata["namespace"],
        JOB_UID: metadata["uid"],
    }


def owner_reference(owner: Mapping[str, Any]) -> dict[str, Any]:
    """For metadata.ownerReferences of what goes with `owner`, in the same namespace."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
