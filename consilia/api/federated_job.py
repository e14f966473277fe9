"""FederatedJob: one training across hospitals, as the hub sees it."""

import re
from hashlib import sha256
from typing import ClassVar, Literal

from pydantic import Field

from consilia.api.aggregation import ROBUST, AggregationSpec, CompressionSpec, PersonalizationSpec
from consilia.api.infrastructure import ResourcesSpec, StreamSpec, TransportSpec
from consilia.api.job_status import FederatedJobStatus
from consilia.api.privacy import PrivacySpec, SecureAggregationSpec
from consilia.api.resource import ApiObject, Resource
from consilia.api.rounds import EvaluationSpec, RoundsSpec, RunPolicySpec
from consilia.api.rules import Rule, Transition, unchanged
from consilia.api.scalars import Name
from consilia.api.task_spec import HospitalsSpec, TaskSpec
from consilia.api.training import TrainingSpec

_SUFFIX = 8
"""So many hexadecimal digits of a job's uid stand behind its name on the log."""
_HEXADECIMAL = f"[0-9a-f]{{{_SUFFIX}}}"


class FederatedJobSpec(ApiObject):
    """What is trained, by whom, how, and under which protection."""

    task: TaskSpec = Field(description="The data scientist's code.")
    dataset: Name = Field(description="A logical name; each hospital has its own `Dataset` of this name.")
    hospitals: HospitalsSpec = Field(description="Who may take part, and how many are enough.")
    rounds: RoundsSpec = Field(description="How many rounds there are, and when one ends.")
    training: TrainingSpec = Field(default=TrainingSpec(), description="How a hospital trains within a round.")
    aggregation: AggregationSpec = Field(
        default=AggregationSpec(), description="How a round's updates become the next global model."
    )
    personalization: PersonalizationSpec | None = Field(
        default=None, description="What each hospital keeps for itself. Default: nothing."
    )
    privacy: PrivacySpec | None = Field(
        default=None, description="Differential privacy of what leaves a hospital. Default: none."
    )
    secure_aggregation: SecureAggregationSpec = Field(
        default=SecureAggregationSpec(), description="Keeps single updates from the aggregator."
    )
    compression: CompressionSpec = Field(
        default=CompressionSpec(), description="How updates are made smaller on their way."
    )
    stream: StreamSpec | None = Field(
        default=None, description="Learn from a live topic inside the hospital. Default: from the `Dataset` at rest."
    )
    evaluation: EvaluationSpec = Field(
        default=EvaluationSpec(), description="What is measured on the hospitals' test splits."
    )
    transport: TransportSpec | None = Field(
        default=None,
        description="The log between the parties. Default: managed Kafka; in a local run, SQLite or what --kafka says.",
    )
    resources: ResourcesSpec | None = Field(
        default=None, description="What a hospital's trainer asks its cluster for. Default: no GPU."
    )
    run_policy: RunPolicySpec = Field(default=RunPolicySpec(), description="How the job as a whole is run.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.aggregation.strategy != 'FedProx' || has(self.training.proximalMu)",
            holds=lambda spec: spec.aggregation.strategy != "FedProx" or spec.training.proximal_mu is not None,
            message="strategy FedProx needs training.proximalMu",
            remedy='set it, for example "0.01", or choose FedAvg',
            field="training",
        ),
        Rule(
            cel="!(self.aggregation.strategy in ['Krum', 'MultiKrum'])"
            " || self.hospitals.minUpdates >= 2 * self.aggregation.byzantineHospitals + 3",
            holds=lambda spec: (
                spec.aggregation.strategy not in {"Krum", "MultiKrum"}
                or spec.hospitals.min_updates >= 2 * spec.aggregation.byzantine_hospitals + 3
            ),
            message="Krum and MultiKrum need hospitals.minUpdates of at least 2 * byzantineHospitals + 3",
            remedy="raise hospitals.minUpdates or lower aggregation.byzantineHospitals",
            field="hospitals",
        ),
        Rule(
            cel="self.aggregation.strategy != 'MultiKrum' || self.aggregation.selectedHospitals"
            " <= self.hospitals.minUpdates - self.aggregation.byzantineHospitals - 2",
            holds=lambda spec: (
                spec.aggregation.strategy != "MultiKrum"
                or spec.aggregation.selected_hospitals
                <= spec.hospitals.min_updates - spec.aggregation.byzantine_hospitals - 2
            ),
            message="MultiKrum may select at most hospitals.minUpdates - byzantineHospitals - 2 updates",
            remedy="lower aggregation.selectedHospitals or raise hospitals.minUpdates",
            field="aggregation",
        ),
        Rule(
            cel="self.aggregation.strategy != 'Median' || self.hospitals.minUpdates >= 3",
            holds=lambda spec: spec.aggregation.strategy != "Median" or spec.hospitals.min_updates >= 3,
            message="the Median of fewer than three updates is their mean: hospitals.minUpdates must be at least 3",
            remedy="raise hospitals.minUpdates or choose FedAvg",
            field="hospitals",
        ),
        Rule(
            cel="self.aggregation.strategy != 'TrimmedMean'"
            " || double(self.hospitals.minUpdates) * double(self.aggregation.trimFraction) >= 1.0",
            holds=lambda spec: (
                spec.aggregation.strategy != "TrimmedMean"
                or spec.hospitals.min_updates * float(spec.aggregation.trim_fraction) >= 1
            ),
            message="TrimmedMean would trim nothing: hospitals.minUpdates times trimFraction must be at least 1",
            remedy="raise hospitals.minUpdates or aggregation.trimFraction",
            field="hospitals",
        ),
        Rule(
            cel="self.secureAggregation.mode == 'None'"
            " || !(self.aggregation.strategy in ['Median', 'TrimmedMean', 'Krum', 'MultiKrum'])",
            holds=lambda spec: spec.secure_aggregation.mode == "None" or spec.aggregation.strategy not in ROBUST,
            message="a robust strategy must see single updates, which secure aggregation hides",
            remedy="set secureAggregation.mode: None, or choose a strategy that needs only the sum, such as FedAvg",
            field="secureAggregation",
        ),
        Rule(
            cel="self.secureAggregation.mode == 'None' || !(self.compression.codec in ['TopK', 'TernGrad'])",
            holds=lambda spec: (
                spec.secure_aggregation.mode == "None" or spec.compression.codec not in {"TopK", "TernGrad"}
            ),
            message="TopK and TernGrad cannot be summed unseen: positions and scales differ from hospital to hospital",
            remedy="choose RandomK or Int8, or set secureAggregation.mode: None",
            field="compression",
        ),
        Rule(
            cel="self.secureAggregation.mode == 'None' || self.hospitals.minUpdates >= 3 || has(self.privacy)",
            holds=lambda spec: (
                spec.secure_aggregation.mode == "None" or spec.hospitals.min_updates >= 3 or spec.privacy is not None
            ),
            message="with two hospitals each can subtract its own update from the sum and see the other's",
            remedy="raise hospitals.minUpdates to 3 or more, or set privacy",
            field="secureAggregation",
        ),
        Rule(
            cel="!has(self.secureAggregation.threshold)"
            " || self.secureAggregation.threshold <= self.hospitals.minUpdates",
            holds=lambda spec: (
                spec.secure_aggregation.threshold is None
                or spec.secure_aggregation.threshold <= spec.hospitals.min_updates
            ),
            message="secureAggregation.threshold must not exceed hospitals.minUpdates",
            remedy="lower the threshold or raise minUpdates",
            field="secureAggregation",
        ),
        Rule(
            cel="self.secureAggregation.mode == 'None' || self.rounds.mode == 'Synchronous'",
            holds=lambda spec: spec.secure_aggregation.mode == "None" or spec.rounds.mode == "Synchronous",
            message="masks cancel only among hospitals of the same round, so secure aggregation needs mode Synchronous",
            remedy="set rounds.mode: Synchronous or secureAggregation.mode: None",
            field="secureAggregation",
        ),
        Rule(
            cel="self.training.scheduler.warmupRounds < self.rounds.count",
            holds=lambda spec: spec.training.scheduler.warmup_rounds < spec.rounds.count,
            message="training.scheduler.warmupRounds must be below rounds.count",
            remedy="shorten the warm-up or add rounds",
            field="training",
        ),
        Rule(
            cel="!has(self.privacy) || self.privacy.evaluation == 'Charged' || size(self.evaluation.stopWhen) == 0",
            holds=lambda spec: (
                spec.privacy is None or spec.privacy.evaluation == "Charged" or not spec.evaluation.stop_when
            ),
            message="stopWhen needs metrics, which stay in the hospitals with privacy.evaluation Local",
            remedy="set privacy.evaluation: Charged or remove evaluation.stopWhen",
            field="evaluation",
        ),
        Rule(
            cel="!has(self.privacy) || self.privacy.mechanism != 'DPSGD' || self.training.precision == 'Float32'",
            holds=lambda spec: (
                spec.privacy is None or spec.privacy.mechanism != "DPSGD" or spec.training.precision == "Float32"
            ),
            message="DPSGD clips gradients in float32: training.precision must be Float32",
            remedy="set training.precision: Float32 or another privacy.mechanism",
            field="training",
        ),
    )
    transitions: ClassVar[tuple[Transition, ...]] = unchanged(
        "task",
        "dataset",
        "hospitals",
        "rounds",
        "training",
        "aggregation",
        "personalization",
        "privacy",
        "secure_aggregation",
        "compression",
        "stream",
        "evaluation",
        "transport",
        "resources",
        remedy="create another FederatedJob; only runPolicy may change",
    )


class FederatedJob(Resource):
    """One training across hospitals."""

    kind: Literal["FederatedJob"] = "FederatedJob"
    spec: FederatedJobSpec = Field(description="What is trained, by whom, how, and under which protection.")
    status: FederatedJobStatus | None = Field(
        default=None, description="Where the job stands; written by the operator."
    )

    @property
    def log_name(self) -> str:
        """The job's name on the log, in the names of topics and in messages: its name, and what tells it from others.

        A job made anew under an old one's name has another uid (Kubernetes sees to that), so it does not find the old
        one's topics and take itself for finished. A job without a uid is called by its name alone.
        """
        return name_on_log(self.metadata.name, self.metadata.uid)


def name_on_log(name: str, uid: str | None) -> str:
    """What a job of that name and uid is called on the log; see `FederatedJob.log_name`."""
    if not uid:
        return name
    beginning = uid.lower()[:_SUFFIX]
    suffix = beginning if re.fullmatch(_HEXADECIMAL, beginning) else sha256(uid.encode()).hexdigest()[:_SUFFIX]
    return f"{name}.{suffix}"
