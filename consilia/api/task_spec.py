"""What is trained, on what, and by whom: `spec.task`, `spec.dataset` and `spec.hospitals`."""

from typing import Annotated, ClassVar

from pydantic import Field

from consilia.api.resource import ApiObject
from consilia.api.rules import Rule
from consilia.api.scalars import Entrypoint, ImageDigest, Int, JsonObject, KeyedList, LabelValue, Name

HOSPITALS_AT_MOST = 256

HospitalNames = Annotated[tuple[Name, ...], Field(min_length=1, max_length=HOSPITALS_AT_MOST), KeyedList()]


class TaskSpec(ApiObject):
    """The data scientist's code."""

    entrypoint: Entrypoint = Field(description="The task's class, as `package.module:Attribute`.")
    image: ImageDigest | None = Field(
        default=None,
        description="The container image that holds the code, named by its digest (`…@sha256:…`). "
        "Without it, the image that the hospital's operator was installed with is used.",
    )
    parameters: JsonObject = Field(
        default_factory=dict, description="What the task is made with; handed to it unchanged. At most 64 fields."
    )


class LabelSelector(ApiObject):
    """Chooses objects by their labels."""

    match_labels: dict[str, LabelValue] = Field(
        min_length=1, max_length=16, description="Labels that must all be there, with these values."
    )


class HospitalsSpec(ApiObject):
    """Who may take part, and how many are enough."""

    names: HospitalNames | None = Field(default=None, description="The hospitals by name.")
    selector: LabelSelector | None = Field(default=None, description="The hospitals by the labels of their `Hospital`.")
    min_ready: Int = Field(
        default=2,
        ge=1,
        le=HOSPITALS_AT_MOST,
        description="How many hospitals must be ready before the first round opens.",
    )
    min_updates: Int = Field(
        default=1, ge=1, le=HOSPITALS_AT_MOST, description="How many updates a round needs to be aggregated."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.names) != has(self.selector)",
            holds=lambda spec: (spec.names is None) != (spec.selector is None),
            message="hospitals needs exactly one of names and selector",
            remedy="list the hospitals under names, or choose them by selector.matchLabels",
        ),
        Rule(
            cel="self.minUpdates <= self.minReady",
            holds=lambda spec: spec.min_updates <= spec.min_ready,
            message="minUpdates must not exceed minReady",
            remedy="lower minUpdates or raise minReady",
            field="minUpdates",
        ),
        Rule(
            cel="!has(self.names) || self.minReady <= size(self.names)",
            holds=lambda spec: spec.names is None or spec.min_ready <= len(spec.names),
            message="minReady must not exceed the number of hospitals named",
            remedy="lower minReady or name more hospitals",
            field="minReady",
        ),
    )
