"""Jobs that the API server takes and that cannot run: how it came to that, and what people are told about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api_documents import KEY
from hub_and_hospitals import AUTOMATIC

from consilia_operator.kinds import NAMESPACE

ELSEWHERE = {"transport": {"external": {"bootstrapServers": ["kafka.example.org:9092"]}}}
"""A log that nobody has to get ready, for what goes wrong after it."""
BY_HAND: Mapping[str, Any] = {"parameters": {"site": "a"}}


@dataclass(frozen=True, kw_only=True)
class JobInTrouble:
    """One job, in a hub of its own with two hospitals, `a` and `b`."""

    name: str
    """What is wrong, as a sentence goes on after `a job`."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of the small valid job, as `api_documents.document` takes them."""
    hospital: Mapping[str, Any] | None = field(default_factory=lambda: {"accepted": True})
    """What the Hospitals say; None is that there are none."""
    consents: bool = True
    dataset: Mapping[str, Any] | None = field(default_factory=lambda: AUTOMATIC)
    """What their Datasets say; None is that there are none."""
    beside: Sequence[Mapping[str, Any]] = ()
    """What else is in the hub's namespace."""
    leaving: bool = False
    """Whether the hospitals' namespaces are being deleted."""
    condition: str
    reason: str
    told: str

    def prepare(self, here: Any) -> None:
        """Make the hub and its hospitals in `here`, and apply the job."""
        for name in here.hospitals:
            here.cluster.namespace(name, here.hub if self.consents else "")
            if self.dataset is not None:
                here.cluster.create(here.made("Dataset", name, self.dataset))
            if self.hospital is not None:
                here.cluster.create(here.made("Hospital", here.hub, {".metadata.name": name, **self.hospital}))
        if self.leaving:
            for name in here.hospitals:
                here.until_joined(name)
                here.cluster.delete(NAMESPACE, "", name)
        for document in self.beside:
            here.cluster.create({**document, "metadata": {**document["metadata"], "namespace": here.hub}})
        here.apply(self.changes)


def _secret(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def _template(**spec: Any) -> dict[str, Any]:
    return {"resources": {"podTemplate": {"spec": spec}}}


def _container(**asked: Any) -> dict[str, Any]:
    return _template(containers=[{"name": "trainer", **asked}])


def _waits(name: str, reason: str, told: str, **more: Any) -> JobInTrouble:
    return JobInTrouble(name=name, condition="Accepted", reason=reason, told=told, **more)


def _never(name: str, reason: str, told: str, changes: Mapping[str, Any]) -> JobInTrouble:
    return JobInTrouble(name=name, condition="Failed", reason=reason, told=told, changes=changes)


def _log(name: str, reason: str, told: str, transport: Mapping[str, Any], **more: Any) -> JobInTrouble:
    changes = {"transport": transport}
    return JobInTrouble(name=name, condition="TransportReady", reason=reason, told=told, changes=changes, **more)


def _offered(name: str, reason: str, told: str, *, changes: Mapping[str, Any] = {}, **more: Any) -> JobInTrouble:
    changes = {**ELSEWHERE, **changes}
    return JobInTrouble(name=name, condition="QuorumMet", reason=reason, told=told, changes=changes, **more)


LABELS = {"hospitals": {"selector": {"matchLabels": {"region": "nowhere"}}}}
HOSPITALS = (
    _waits("whose hospitals there are not", "HospitalsMissing", "kubectl apply one for each", hospital=None),
    _waits("of hospitals that are not accepted", "HospitalsNotJoined", "patch hospital", hospital={"accepted": False}),
    _waits("of hospitals that do not consent", "HospitalsNotJoined", "kubectl label namespace", consents=False),
    _waits("for labels that nobody has", "HospitalsMissing", "labels that hospitals.selector asks for", changes=LABELS),
    _waits(
        "of hospitals with another key",
        "HospitalsNotJoined", "shows another key than spec.publicKey. Ask the hospital",
        hospital={"accepted": True, "publicKey": KEY},
    ),
    JobInTrouble(
        name="that has waited long enough", hospital=None, changes={"runPolicy": {"schedulingTimeoutSeconds": 1}},
        condition="Failed", reason="SchedulingTimeout", told="Create the job anew with more time",
    ),
)  # fmt: skip
NOT_SUPPORTED = (
    _never(
        "with secure aggregation", "NotSupported", "Set mode: None",
        {"secureAggregation.mode": "Masking",
         "hospitals": {"names": ["a", "b", "c"], "minReady": 3, "minUpdates": 3}},
    ),
    _never("with compression", "NotSupported", "Set codec: None", {"compression": {"codec": "TopK", "ratio": "0.1"}}),
    _never("that streams", "NotSupported", "Dataset at rest", {"stream": {"topic": "beds", "trigger": {"records": 1}}}),
    _never(
        "that is asynchronous", "NotSupported", "Set mode: Synchronous",
        {"rounds": {"count": 3, "mode": "Asynchronous", "bufferSize": 2, "maxStaleness": 2}},
    ),
    _never(
        "with parts that stay", "NotSupported", "all parameters are shared",
        {"personalization": {"localParameters": ["head"]}},
    ),
)  # fmt: skip
POD_TEMPLATES = (
    _never("with the node's network", "PodTemplateRefused", "spec.hostNetwork", _template(hostNetwork=True)),
    _never(
        "with the node's files", "PodTemplateRefused", "podTemplate.spec.volumes[0].hostPath",
        _template(volumes=[{"name": "x", "hostPath": {"path": "/"}}]),
    ),
    _never("as another account", "PodTemplateRefused", "serviceAccountName", _template(serviceAccountName="admin")),
    _never(
        "with privileges", "PodTemplateRefused", "securityContext",
        _container(securityContext={"privileged": True}),
    ),
    _never("with another program", "PodTemplateRefused", "command", _container(command=["sh"])),
    _never(
        "with GPUs in the wrong place", "PodTemplateRefused", "Set resources.gpu",
        _container(resources={"limits": {"nvidia.com/gpu": 1}}),
    ),
    _never(
        "with an amount that is none", "PodTemplateRefused", "must be an amount",
        _container(resources={"limits": {"cpu": "lots"}}),
    ),
    _never(
        "with a variable of ours", "PodTemplateRefused", "rely on",
        _container(env=[{"name": "LD_PRELOAD", "value": "x"}]),
    ),
)  # fmt: skip
BROKERS = {"external": {"bootstrapServers": ["kafka.example.org:9093"], "secretRef": {"name": "kafka"}}}
LOGS = (
    _log("for a Kafka that Strimzi would run", "StrimziMissing", "Strimzi", {"strimzi": {"cluster": "kafka"}}),
    _log("without a way to Kafka", "CredentialsMissing", "create secret generic kafka", BROKERS),
    _log(
        "with half a way to Kafka", "CredentialsIncomplete", "Add one of the two pairs", BROKERS,
        beside=[_secret("kafka", username="me")],
    ),
    _log("whose Kafka finds no node", "KafkaStarting", "broker", {"managed": {"brokers": 1}}),
)  # fmt: skip
OFFERS = (
    _offered("for data that nobody has", "DatasetMissing", "There is no Dataset patients here", dataset=None),
    _offered(
        "for data whose claim is missing", "DatasetNotReady", "There is no PersistentVolumeClaim records here. Make it",
        dataset={"source": {"persistentVolumeClaim": {"claimName": "records"}}, **AUTOMATIC},
    ),
    _offered(
        "for data whose ledger does not answer", "DatasetNotReady", "LedgerUnavailable",
        dataset={"publicSize": 100, "privacyBudget": {"epsilon": "1", "delta": "1e-5"}, **AUTOMATIC},
    ),
    _offered(
        "with privacy for data of no known size", "PublicSizeMissing", "set spec.publicSize",
        changes={"privacy": {"epsilon": "1", "delta": "1e-5"}},
    ),
    _offered(
        "for patients where records are counted", "UnitMismatch", "privacy.unit: Record",
        changes={"privacy": {"epsilon": "1", "delta": "1e-5", "unit": "Patient"}},
    ),
    _offered("that somebody must approve", "WaitingForApproval", "kubectl -n", dataset=BY_HAND),
    _offered(
        "that no rule lists", "NotOnTheList", "not the task another.module:Task",
        changes={"task": {"entrypoint": "another.module:Task"}},
    ),
    _offered(
        "with a toleration that is none", "TrainerRefused", "tolerations",
        changes=_template(tolerations=[{"operator": "Perhaps"}]),
    ),
    _offered(
        "with a volume called as one of ours", "TrainerRefused", "taken by the trainer's own pod",
        changes=_template(volumes=[{"name": "state", "emptyDir": {}}]),
    ),
)  # fmt: skip
TAKEN = (
    JobInTrouble(
        name="whose names are taken", changes=ELSEWHERE, beside=[_secret("study-aggregator", mine="yes")],
        condition="Running", reason="Refused", told="delete secret study-aggregator",
    ),
    JobInTrouble(
        name="whose hospitals are leaving", changes=ELSEWHERE, leaving=True,
        condition="Running", reason="Refused", told="cannot be asked",
    ),
)  # fmt: skip

JOBS_IN_TROUBLE = (*HOSPITALS, *NOT_SUPPORTED, *POD_TEMPLATES, *LOGS, *OFFERS, *TAKEN)
