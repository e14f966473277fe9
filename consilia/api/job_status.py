"""Where a FederatedJob stands: `status`."""

from typing import Annotated, Literal

from pydantic import Field

from consilia.api.resource import ApiObject, Conditions, Status, Value
from consilia.api.scalars import DecimalString, Int, KeyedList, Message, Name, Sha256, ShortText, Timestamp
from consilia.api.task_spec import HOSPITALS_AT_MOST

HospitalState = Literal[
    "Offered",
    "Denied",
    "Pending",
    "Ready",
    "Training",
    "Sent",
    "Late",
    "Offline",
    "Dropped",
    "Exhausted",
    "Failed",
    "Done",
]


class JobSummary(ApiObject):
    """The line that `kubectl get` prints. Programs read the other fields."""

    state: ShortText = Field(default="", description="The condition that matters most now.")
    rounds: ShortText = Field(default="", description="Rounds closed of all, such as 12/50.")
    hospitals: ShortText = Field(default="", description="Hospitals ready of all, such as 3/3.")
    metric: ShortText = Field(default="", description="The first metric of the last evaluation, such as auc 0.931.")
    epsilon: ShortText = Field(default="", description="The largest ε spent by a hospital; 0 without `privacy`.")


class JobHospital(ApiObject):
    """One hospital's part in the job."""

    name: Name = Field(description="The hospital.")
    state: HospitalState = Field(
        description="What it is doing, or why it is not there. `Offered`: it has not decided. `Pending`: its pod waits "
        "for a GPU or an image, for example. `Sent`: its update is in. `Late`: the round waits for it. `Offline`: it "
        "is not heard of. `Dropped`: the job goes on without it. `Exhausted`: so it does, as its privacy budget is "
        "spent. `Failed`: its trainer ended with an error."
    )
    round: Int | None = Field(default=None, ge=0, description="The last round whose update came from it.")
    samples: ShortText | None = Field(default=None, description="How many records it trains on, as a range.")
    epsilon_spent: DecimalString | None = Field(default=None, description="ε that it spent on this job.")
    message: Message = Field(default="", description="Why, for people.")


class JobEpsilon(ApiObject):
    """Privacy spent by the job."""

    max_spent: DecimalString = Field(description="The largest ε over the hospitals.")


class ModelReference(ApiObject):
    """Where a model is."""

    uri: Annotated[str, Field(max_length=1024)] = Field(description="Where to fetch it, or the command that prints it.")
    digest: Sha256 = Field(description="SHA-256 of its bytes.")
    round: Int = Field(ge=0, description="The round it came out of.")


class FederatedJobStatus(Status):
    """Where the job stands."""

    conditions: Conditions = Field(
        default=(),
        description="`Accepted`, `TransportReady`, `QuorumMet`, `Running`, `Suspended`; then `Succeeded` "
        "or `Failed`, which are final.",
    )
    start_time: Timestamp | None = Field(default=None, description="When the first round opened.")
    completion_time: Timestamp | None = Field(default=None, description="When the job ended.")
    round: Int | None = Field(default=None, ge=0, description="The open round, or the last one.")
    rounds_completed: Int | None = Field(default=None, ge=0, description="Rounds closed.")
    last_round_seconds: DecimalString | None = Field(
        default=None, description="How long the last closed round took, in seconds."
    )
    updates_received: Int | None = Field(default=None, ge=0, description="Updates that are in for the open round.")
    hospitals: Annotated[tuple[JobHospital, ...], Field(max_length=HOSPITALS_AT_MOST), KeyedList(("name",))] = Field(
        default=(), description="Each hospital's part in the job."
    )
    epsilon: JobEpsilon | None = Field(default=None, description="Privacy spent.")
    metrics: Annotated[tuple[Value, ...], Field(max_length=32), KeyedList(("name",))] = Field(
        default=(), description="The last evaluation of the global model, as means over the hospitals."
    )
    model: ModelReference | None = Field(default=None, description="The newest global model.")
    summary: JobSummary | None = Field(default=None, description="The line that `kubectl get` prints.")
