"""Every kind of object that the operator reads or writes, as the API server addresses it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind: its group and version, its name in documents, its name in addresses."""

    api_version: str
    """`v1`, or `group/version`."""
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for the core's."""
        group, _, version = self.api_version.rpartition("/")
        return group if version else ""


NAMESPACE = Kind(api_version="v1", kind="Namespace", plural="namespaces", namespaced=False)
POD = Kind(api_version="v1", kind="Pod", plural="pods")
SECRET = Kind(api_version="v1", kind="Secret", plural="secrets")
CONFIG_MAP = Kind(api_version="v1", kind="ConfigMap", plural="configmaps")
SERVICE = Kind(api_version="v1", kind="Service", plural="services")
PVC = Kind(api_version="v1", kind="PersistentVolumeClaim", plural="persistentvolumeclaims")
STATEFUL_SET = Kind(api_version="apps/v1", kind="StatefulSet", plural="statefulsets")
DEPLOYMENT = Kind(api_version="apps/v1", kind="Deployment", plural="deployments")
JOB = Kind(api_version="batch/v1", kind="Job", plural="jobs")
POD_DISRUPTION_BUDGET = Kind(api_version="policy/v1", kind="PodDisruptionBudget", plural="poddisruptionbudgets")
NETWORK_POLICY = Kind(api_version="networking.k8s.io/v1", kind="NetworkPolicy", plural="networkpolicies")
POD_TEMPLATE = Kind(api_version="v1", kind="PodTemplate", plural="podtemplates")
LEASE = Kind(api_version="coordination.k8s.io/v1", kind="Lease", plural="leases")
EVENT = Kind(api_version="events.k8s.io/v1", kind="Event", plural="events")

FEDERATED_JOB = Kind(api_version="consilia.dev/v1alpha1", kind="FederatedJob", plural="federatedjobs")
HOSPITAL = Kind(api_version="consilia.dev/v1alpha1", kind="Hospital", plural="hospitals")
DATASET = Kind(api_version="consilia.dev/v1alpha1", kind="Dataset", plural="datasets")
HOSPITAL_TASK = Kind(api_version="consilia.dev/v1alpha1", kind="HospitalTask", plural="hospitaltasks")

STRIMZI_KAFKA = Kind(api_version="kafka.strimzi.io/v1", kind="Kafka", plural="kafkas")
STRIMZI_NODE_POOL = Kind(api_version="kafka.strimzi.io/v1", kind="KafkaNodePool", plural="kafkanodepools")
STRIMZI_USER = Kind(api_version="kafka.strimzi.io/v1", kind="KafkaUser", plural="kafkausers")
STRIMZI_TOPIC = Kind(api_version="kafka.strimzi.io/v1", kind="KafkaTopic", plural="kafkatopics")
CERTIFICATE = Kind(api_version="cert-manager.io/v1", kind="Certificate", plural="certificates")

_ALL: Mapping[tuple[str, str], Kind] = MappingProxyType(
    {(kind.api_version, kind.kind): kind for kind in list(globals().values()) if isinstance(kind, Kind)}
)


def of(document: Mapping[str, Any]) -> Kind:
    """The kind of a document.

    Raises:
        KeyError: the operator has no use for such objects.
    """
    return _ALL[document["apiVersion"], document["kind"]]
