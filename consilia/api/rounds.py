"""How rounds follow one another and the whole job is run: `spec.rounds`, `spec.evaluation`, `spec.runPolicy`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from consilia.api.resource import ApiObject
from consilia.api.rules import Rule
from consilia.api.scalars import Bool, DecimalString, Int, KeyedList, MetricName

OnStraggler = Literal["Drop", "Wait"]
Mode = Literal["Synchronous", "Asynchronous"]
Operator = Literal["GreaterOrEqual", "LessOrEqual"]

LOSS = "loss"
"""The metric that every task has."""


class RoundsSpec(ApiObject):
    """How many rounds there are, and when one ends."""

    count: Int = Field(ge=1, le=100_000, description="How many rounds the job trains.")
    deadline_seconds: Int = Field(
        default=600,
        ge=1,
        le=2_592_000,
        description="How long a round waits for updates before `onStraggler` decides, in seconds.",
    )
    on_straggler: OnStraggler = Field(
        default="Drop",
        description="What happens at the deadline while a hospital's update is missing. `Drop`: the round closes "
        "without it, if `hospitals.minUpdates` are in. `Wait`: the round is extended until all are in.",
    )
    max_extensions: Int = Field(
        default=3,
        ge=0,
        le=1000,
        description="How often a round that may not close is given another `deadlineSeconds` before the job fails.",
    )
    mode: Mode = Field(
        default="Synchronous",
        description="`Synchronous`: all hospitals train the same global model. `Asynchronous`: the global model moves "
        "on whenever `bufferSize` updates are in (FedBuff).",
    )
    buffer_size: Int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="How many updates are aggregated at once; for mode Asynchronous only, which needs it.",
    )
    max_staleness: Int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="How many rounds old the model may be that an update was trained from; for mode Asynchronous only, "
        "which needs it.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.mode != 'Asynchronous' || (has(self.bufferSize) && has(self.maxStaleness))",
            holds=lambda spec: (
                spec.mode != "Asynchronous" or (spec.buffer_size is not None and spec.max_staleness is not None)
            ),
            message="mode Asynchronous needs bufferSize and maxStaleness",
            remedy="set both, for example bufferSize: 10 and maxStaleness: 4",
            field="mode",
        ),
        Rule(
            cel="self.mode == 'Asynchronous' || (!has(self.bufferSize) && !has(self.maxStaleness))",
            holds=lambda spec: spec.mode == "Asynchronous" or (spec.buffer_size is None and spec.max_staleness is None),
            message="bufferSize and maxStaleness have no effect in mode Synchronous",
            remedy="remove them, or set mode: Asynchronous",
            field="mode",
        ),
    )


class StopCondition(ApiObject):
    """A threshold that ends the job early."""

    metric: MetricName = Field(description="The metric, one of `evaluation.metrics` or `loss`.")
    operator: Operator = Field(description="Which side of `value` is good enough: `GreaterOrEqual` or `LessOrEqual`.")
    value: DecimalString = Field(description='The threshold, such as "0.9".')


class EvaluationSpec(ApiObject):
    """What is measured on the hospitals' test splits, and when it is good enough."""

    every_rounds: Int = Field(
        default=1,
        ge=0,
        le=100_000,
        description="Every how many rounds the global model is evaluated; 0 is only the final model.",
    )
    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1, max_length=32), KeyedList()] = Field(
        default=(LOSS,), description="Names of the task's metrics; every task has `loss`."
    )
    stop_when: Annotated[tuple[StopCondition, ...], Field(max_length=8), KeyedList(("metric", "operator"))] = Field(
        default=(),
        description="The job succeeds early as soon as the global model meets one of these, as the mean over the "
        "hospitals weighted by their samples.",
    )

    def reported(self) -> tuple[str, ...]:
        """The metrics that hospitals report: `metrics`, and whatever else `stopWhen` looks at."""
        return tuple(dict.fromkeys([*self.metrics, *(stop.metric for stop in self.stop_when)]))

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.stopWhen.all(c, c.metric == 'loss' || c.metric in self.metrics)",
            holds=lambda spec: all(stop.metric in {LOSS, *spec.metrics} for stop in spec.stop_when),
            message="stopWhen names a metric that is not evaluated",
            remedy="add it to metrics",
            field="stopWhen",
        ),
        Rule(
            cel="self.everyRounds > 0 || size(self.stopWhen) == 0",
            holds=lambda spec: spec.every_rounds > 0 or not spec.stop_when,
            message="stopWhen has no effect where only the final model is evaluated",
            remedy="set everyRounds to 1 or more, or remove stopWhen",
            field="stopWhen",
        ),
    )


class RunPolicySpec(ApiObject):
    """How the job as a whole is run; the one part of the spec that may be changed later."""

    suspend: Bool = Field(
        default=False,
        description="Give back all pods now; false goes on from the log: the open round is repeated from its recorded "
        "updates.",
    )
    active_deadline_seconds: Int | None = Field(
        default=None,
        ge=1,
        le=31_536_000,
        description="How long the job may run before it fails, in seconds; anew when it is resumed. Default: no limit.",
    )
    scheduling_timeout_seconds: Int | None = Field(
        default=None,
        ge=1,
        le=31_536_000,
        description="How long the job waits for `hospitals.minReady` before it fails, in seconds. Default: no limit.",
    )
    backoff_limit: Int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="How often a failed aggregator or trainer is started again before it counts as lost. Default: 6.",
    )
    ttl_seconds_after_finished: Int | None = Field(
        default=None,
        ge=0,
        le=31_536_000,
        description="How long the job, its aggregator (which serves the model) and its topics are kept after its end, "
        "in seconds. Default: until the job is deleted.",
    )
