"""What looks at a Dataset's data before any job may: a batch/v1 Job that tells the hospital's ledger what is in it."""

from dataclasses import dataclass
from typing import Any, Final

from consilia.api import Dataset
from consilia.enrolment.keeping import IDENTITY_FILE
from consilia_operator.kinds import CONFIG_MAP, JOB, NETWORK_POLICY, Kind
from consilia_operator.manifests import ledger, network, pod
from consilia_operator.manifests.aggregator import digest_of
from consilia_operator.names import (
    COMPONENT,
    DATASET,
    FIELD_MANAGER,
    HOSPITAL,
    IDENTITY,
    MANAGED_BY,
    SOURCE,
    child,
    labels,
    owner_reference,
)
from consilia_operator.settings import OperatorSettings

Document = dict[str, Any]

INSPECTION: Final = "inspection"
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectionParts:
    """What an inspection is made from."""

    dataset: Dataset
    document: Document
    """The Dataset as the API server has it."""
    data: pod.Mount

    @property
    def namespace(self) -> str:
        """The hospital's, whose name it is."""
        return str(self.document["metadata"]["namespace"])


def name_of(dataset: str) -> str:
    """What a Dataset's inspection is called."""
    return child(dataset, INSPECTION)


def source_of(dataset: Dataset) -> str:
    """Stands for what is looked at: another source, or another unit, is looked at anew."""
    spec = dataset.spec
    return digest_of({"source": spec.source.model_dump_json(exclude_none=True), "unit": spec.unit})


def documents(parts: InspectionParts, settings: OperatorSettings) -> list[Document]:
    """All that runs it; the Job is the last."""
    configuration = _configuration(parts)
    return [
        configuration,
        *([_policy(parts)] if settings.network_policies else []),
        _job(parts, settings),
    ]


def _configuration(parts: InspectionParts) -> Document:
    settings = {
        "hospital": parts.namespace,
        "dataset": parts.dataset.metadata.name,
        "data": parts.data.path,
        "unit": parts.dataset.spec.unit,
        "ledger": ledger.url_of(parts.namespace),
        "key": f"{pod.IDENTITY_FOLDER}/{IDENTITY_FILE}",
    }
    return _named(CONFIG_MAP, parts) | {"data": pod.settings_data(settings)}


def _policy(parts: InspectionParts) -> Document:
    """Nobody asks it anything, and it asks the ledger alone."""
    chosen = {MANAGED_BY: FIELD_MANAGER, COMPONENT: INSPECTION, DATASET: parts.dataset.metadata.name}
    metadata = _named(NETWORK_POLICY, parts)["metadata"]
    return network.policy(metadata, chosen, ingress=[], egress=[network.NAMES, ledger.egress()])


def _job(parts: InspectionParts, settings: OperatorSettings) -> Document:
    program = pod.Program(
        name=INSPECTION,
        image=settings.images.worker,
        arguments=("inspect", pod.SETTINGS_FILE),
        resources=settings.sizes.ledger,
        mounts=(
            pod.config("config", pod.CONFIG, name_of(parts.dataset.metadata.name)),
            pod.secret("identity", pod.IDENTITY_FOLDER, IDENTITY),
            pod.scratch("tmp", "/tmp"),  # noqa: S108 (an emptyDir of this pod's own)
            parts.data,
        ),
        probed=False,
        port=None,
    )
    document = _named(JOB, parts)
    document["metadata"]["annotations"] = {SOURCE: source_of(parts.dataset)}
    template = {"metadata": {"labels": _labels(parts)}, "spec": pod.spec(program, settings, restart="Never")}
    return document | {"spec": pod.job_spec(INSPECTION, template, backoff_limit=_ATTEMPTS)}


def _labels(parts: InspectionParts) -> dict[str, str]:
    return labels(INSPECTION) | {DATASET: parts.dataset.metadata.name, HOSPITAL: parts.namespace}


def _named(kind: Kind, parts: InspectionParts) -> Document:
    metadata = {
        "name": name_of(parts.dataset.metadata.name),
        "namespace": parts.namespace,
        "labels": _labels(parts),
        "ownerReferences": [owner_reference(parts.document)],
    }
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
