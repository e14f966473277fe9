"""How a job's programs tell where they stand: signed snapshots, which the operator fetches from their status port.

`GET /progress?after=VERSION&wait=SECONDS` answers `{"body": TEXT, "signature": BASE64}` as soon as the program's
version is above VERSION, or 204 when SECONDS are over. TEXT is the canonical JSON (RFC 8785) of a `JobProgress` or a
`TrainerProgress`, signed with the key that the roster has: a neighbour in the cluster cannot make a story up.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from consilia.api.resource import REASON_PATTERN
from consilia.api.scalars import Name, Sha256, ShortText
from consilia.api.task_spec import HOSPITALS_AT_MOST

STATUS_PORT = 8080
"""Where aggregator and trainers serve /progress, /metrics and /healthz."""

JobPhase = Literal["Starting", "Waiting", "Training", "Evaluating", "Finished"]
PartState = Literal["Absent", "Ready", "Training", "Sent", "Late", "Left"]
TrainerState = Literal["Starting", "Waiting", "Training", "Sending", "Finished", "Exhausted", "Failed"]
BUDGET_SPENT = "its privacy budget is spent, or what the job promised to spend"
"""What an aggregator says of a hospital that left for that reason."""
Text = Annotated[str, Field(max_length=1024)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Moment = Annotated[float, Field(ge=0, lt=2**33, allow_inf_nan=False)]
"""Seconds since 1970, for the next 245 years."""
Reason = Annotated[str, Field(pattern=REASON_PATTERN, max_length=128)]
"""Becomes the reason of a condition."""


class _Snapshot(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class PartProgress(_Snapshot):
    """One hospital, as the aggregator sees it."""

    name: Name
    state: PartState
    round: Count | None = None
    """The last round whose update of this hospital counted."""
    message: Text = ""
    """Why it is late, or left; for people."""


class ModelProgress(_Snapshot):
    """The newest global model."""

    digest: Sha256
    round: Count


class Ending(_Snapshot):
    """How the job ended."""

    outcome: Literal["Succeeded", "Failed"]
    reason: Reason
    message: Text = ""


class JobProgress(_Snapshot):
    """Where a job stands, from its aggregator."""

    job: str
    """The job's name on the log."""
    version: Count
    """Grows with every change, and starts above every earlier process's: microseconds since 1970, which canonical JSON
    can still write as a whole number."""
    phase: JobPhase
    started: Moment | None = None
    """When the first round opened, in seconds since 1970, as the log has it."""
    round: Count = 0
    """The open round, or the last one."""
    rounds_completed: Count = 0
    last_round_seconds: Moment | None = None
    updates_received: Count = 0
    """For the open round."""
    deadline: Moment | None = None
    """Of the open round, in seconds since 1970."""
    extensions: Count = 0
    """How often the open round was given more time."""
    hospitals: Annotated[tuple[PartProgress, ...], Field(max_length=HOSPITALS_AT_MOST)] = ()
    metrics: Annotated[dict[ShortText, float], Field(max_length=32)] = {}
    """The last evaluation of the global model, as means over the hospitals."""
    model: ModelProgress | None = None
    ending: Ending | None = None


class TrainerProgress(_Snapshot):
    """Where one hospital's trainer stands."""

    job: str
    hospital: str
    version: Count
    state: TrainerState
    round: Count = 0
    """The last round that an update was sent for."""
    attempts: Count = 0
    """How many trainings were begun by this hospital in this job, crashed ones included."""
    epsilon: Annotated[str, Field(max_length=32)] = "0"
    """ε that the job has spent at this hospital."""
    message: Text = ""
