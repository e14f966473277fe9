"""HospitalTask: one offer of a job to one hospital, and what came of it."""

from typing import ClassVar, Literal

from pydantic import Field

from consilia.api.aggregation import CompressionSpec, PersonalizationSpec
from consilia.api.infrastructure import StreamSpec, TransportSpec
from consilia.api.privacy import PrivacySpec, SecureAggregationSpec
from consilia.api.resource import ApiObject, Conditions, Resource, Status
from consilia.api.rounds import EvaluationSpec, RoundsSpec
from consilia.api.rules import Transition, unchanged
from consilia.api.scalars import Bool, DecimalString, Int, JsonObject, Message, Name, Sha256, ShortText
from consilia.api.task_spec import TaskSpec
from consilia.api.training import TrainingSpec

Decision = Literal["Undecided", "Approved", "Suspended", "Denied"]


class JobReference(ApiObject):
    """The hub's FederatedJob."""

    name: Name = Field(description="Its name.")
    namespace: Name | None = Field(default=None, description="Its namespace on the hub. Default: the HospitalTask's.")
    uid: ShortText = Field(min_length=1, description="Its uid: a job of the same name is another job.")
    config_digest: Sha256 = Field(description="Digest of its spec; rounds under another one are refused.")
    roster_digest: Sha256 | None = Field(default=None, description="Digest of who may take part, with their keys.")


class HospitalTaskSpec(ApiObject):
    """What the hospital is asked to run, and what it decided."""

    job: JobReference = Field(description="The job that this is a part of.")
    hospital: Name = Field(description="The hospital that it is offered to.")
    dataset: Name = Field(description="The `Dataset` that it asks for.")
    task: TaskSpec = Field(description="The code that would run.")
    rounds: RoundsSpec = Field(description="How many rounds there are, and when one ends.")
    training: TrainingSpec = Field(default=TrainingSpec(), description="How the hospital would train.")
    evaluation: EvaluationSpec = Field(default=EvaluationSpec(), description="What would be measured.")
    personalization: PersonalizationSpec | None = Field(
        default=None, description="What would stay here. Default: nothing."
    )
    privacy: PrivacySpec | None = Field(
        default=None, description="The differential privacy that is offered. Default: none."
    )
    secure_aggregation: SecureAggregationSpec = Field(
        default=SecureAggregationSpec(), description="How single updates would be hidden."
    )
    compression: CompressionSpec = Field(default=CompressionSpec(), description="How updates would be made smaller.")
    stream: StreamSpec | None = Field(
        default=None, description="The live topic to learn from. Default: the data at rest."
    )
    transport: TransportSpec | None = Field(
        default=None, description="The log that its updates would travel through. Default: the hub's managed Kafka."
    )
    gpu: Int = Field(default=0, ge=0, le=64, description="GPUs that it asks for, as nvidia.com/gpu.")
    pod_template: JsonObject | None = Field(
        default=None, description="What else its trainer asks the cluster for. Default: nothing."
    )
    decision: Decision = Field(
        default="Undecided",
        description="What the hospital says. With `approval.mode: Manual`, somebody there sets it. `Suspended`: not "
        "now; the trainer gives back its pod. `Denied` is final.",
    )
    decision_message: Message = Field(default="", description="What the hub is told beside the decision.")
    suspend: Bool = Field(default=False, description="Take part in no further round until it is false again.")

    transitions: ClassVar[tuple[Transition, ...]] = (
        *unchanged(
            "job",
            "hospital",
            "dataset",
            "task",
            "rounds",
            "training",
            "evaluation",
            "personalization",
            "privacy",
            "secure_aggregation",
            "compression",
            "stream",
            "transport",
            "gpu",
            "pod_template",
            remedy="what was offered is what is decided on; only decision, its message and suspend may change",
        ),
        Transition(
            cel="oldSelf.decision != 'Denied' || self.decision == 'Denied'",
            holds=lambda new, old: old.decision != "Denied" or new.decision == "Denied",
            message="a denial is final",
            remedy="ask the hub to offer the job again",
            field="decision",
        ),
    )


class HospitalTaskStatus(Status):
    """What came of the offer."""

    conditions: Conditions = Field(
        default=(),
        description="`Approved`, `Admitted` (budget reserved), `Training`, then `Done`; or `Denied`.",
    )
    round: Int | None = Field(default=None, ge=0, description="The last round that an update was sent for.")
    attempts: Int | None = Field(
        default=None, ge=0, description="How many trainings were begun, crashed ones included."
    )
    epsilon_reserved: DecimalString | None = Field(
        default=None, description="ε that the ledger keeps for the rest of the job."
    )
    epsilon_spent: DecimalString | None = Field(default=None, description="ε spent so far.")
    state: ShortText | None = Field(default=None, description="The condition that matters most now, for `kubectl get`.")
    message: Message = Field(default="", description="Why, for people.")


class HospitalTask(Resource):
    """One offer of a job to this hospital: Approved, Admitted (budget reserved), Training, then Done; or Denied."""

    kind: Literal["HospitalTask"] = "HospitalTask"
    spec: HospitalTaskSpec = Field(description="What the hospital is asked to run, and what it decided.")
    status: HospitalTaskStatus | None = Field(
        default=None, description="What came of it; written by the hospital's operator."
    )
