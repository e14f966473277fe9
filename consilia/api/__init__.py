"""The four custom resources: what people write in YAML and Kubernetes stores. The files in crds/ come from here."""

from consilia.api.aggregation import (
    AggregationSpec,
    Codec,
    CompressionSpec,
    PersonalizationSpec,
    ServerOptimizerSpec,
    StrategyName,
)
from consilia.api.dataset import Dataset, DatasetSource, DatasetSpec, DatasetStatus, PrivacyBudget
from consilia.api.federated_job import FederatedJob, FederatedJobSpec
from consilia.api.hospital import Hospital, HospitalSpec, HospitalStatus
from consilia.api.hospital_task import HospitalTask, HospitalTaskSpec, HospitalTaskStatus
from consilia.api.infrastructure import ResourcesSpec, StreamSpec, TransportSpec
from consilia.api.job_status import FederatedJobStatus, JobHospital, ModelReference
from consilia.api.privacy import PrivacySpec, SecureAggregationSpec, Unit
from consilia.api.resource import API_VERSION, GROUP, VERSION, ApiObject, Condition, Metadata, Resource, Value
from consilia.api.rounds import EvaluationSpec, OnStraggler, RoundsSpec, RunPolicySpec, StopCondition
from consilia.api.task_spec import HospitalsSpec, LabelSelector, TaskSpec
from consilia.api.training import Device, OptimizerName, OptimizerSpec, Precision, SchedulerSpec, TrainingSpec

RESOURCES: tuple[type[Resource], ...] = (FederatedJob, Hospital, Dataset, HospitalTask)

__all__ = [
    "API_VERSION",
    "GROUP",
    "RESOURCES",
    "VERSION",
    "AggregationSpec",
    "ApiObject",
    "Codec",
    "CompressionSpec",
    "Condition",
    "Dataset",
    "DatasetSource",
    "DatasetSpec",
    "DatasetStatus",
    "Device",
    "EvaluationSpec",
    "FederatedJob",
    "FederatedJobSpec",
    "FederatedJobStatus",
    "Hospital",
    "HospitalSpec",
    "HospitalStatus",
    "HospitalTask",
    "HospitalTaskSpec",
    "HospitalTaskStatus",
    "HospitalsSpec",
    "JobHospital",
    "LabelSelector",
    "Metadata",
    "ModelReference",
    "OnStraggler",
    "OptimizerName",
    "OptimizerSpec",
    "PersonalizationSpec",
    "Precision",
    "PrivacyBudget",
    "PrivacySpec",
    "Resource",
    "ResourcesSpec",
    "RoundsSpec",
    "RunPolicySpec",
    "SchedulerSpec",
    "SecureAggregationSpec",
    "ServerOptimizerSpec",
    "StopCondition",
    "StrategyName",
    "StreamSpec",
    "TaskSpec",
    "TrainingSpec",
    "TransportSpec",
    "Unit",
    "Value",
]
