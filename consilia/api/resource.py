"""What all objects of the API and all four resources have in common."""

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from consilia.api.rules import VALIDATIONS, Rule, Transition, obey
from consilia.api.scalars import NAME_PATTERN, Int, KeyedList, LabelValue, Message, Name, ShortText, Timestamp

GROUP = "consilia.dev"
VERSION = "v1alpha1"
API_VERSION: Literal["consilia.dev/v1alpha1"] = "consilia.dev/v1alpha1"


class ApiObject(BaseModel):
    """An object of the API: frozen, closed, camelCase in YAML, with its rules beside its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    rules: ClassVar[tuple[Rule, ...]] = ()
    transitions: ClassVar[tuple[Transition, ...]] = ()

    @model_validator(mode="after")
    def _obey(self) -> Self:
        obey(self.rules, self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        result = handler(schema)
        entries = [*(rule.as_json() for rule in cls.rules), *(rule.as_json() for rule in cls.transitions)]
        if entries:
            handler.resolve_ref_schema(result)[VALIDATIONS] = entries
        return result

    def as_document(self) -> dict[str, Any]:
        """As it stands in YAML or JSON, defaults filled in, empty fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Metadata(ApiObject):
    """The part of Kubernetes' metadata that Consilia reads; the rest is accepted and kept."""

    name: Name = Field(description="The object's name, unique in its namespace.")
    namespace: Name | None = Field(
        default=None, description="The namespace; in one cluster, each hospital has its own."
    )
    labels: dict[str, LabelValue] = Field(default_factory=dict, description="What selectors match.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Notes for people and tools.")
    uid: str | None = Field(default=None, description="Set by the API server.")
    generation: int | None = Field(default=None, description="Set by the API server; counts changes of spec.")
    resource_version: str | None = Field(default=None, description="Set by the API server.")
    creation_timestamp: str | None = Field(default=None, description="Set by the API server.")
    deletion_timestamp: str | None = Field(default=None, description="Set by the API server.")
    deletion_grace_period_seconds: int | None = Field(default=None, description="Set by the API server.")
    generate_name: str | None = Field(default=None, description="The prefix that the API server made the name from.")
    finalizers: tuple[str, ...] = Field(default=(), description="Who must clean up before the object goes.")
    owner_references: tuple[dict[str, Any], ...] = Field(default=(), description="With whom the object goes.")
    managed_fields: tuple[dict[str, Any], ...] = Field(default=(), description="Set by the API server.")
    self_link: str | None = Field(default=None, description="Set by old API servers.")


NAME_RULE = Rule(
    cel=f"self.metadata.name.size() <= 63 && self.metadata.name.matches('{NAME_PATTERN}')",
    holds=lambda resource: (
        len(resource.metadata.name) <= 63 and re.search(NAME_PATTERN, resource.metadata.name) is not None
    ),
    message="metadata.name must be an RFC 1123 label of at most 63 characters, for it becomes part of topic names",
    remedy="use lower-case letters, digits and hyphens",
)


class Resource(ApiObject):
    """A custom resource: apiVersion, kind, metadata, spec and status."""

    rules: ClassVar[tuple[Rule, ...]] = (NAME_RULE,)

    api_version: Literal["consilia.dev/v1alpha1"] = API_VERSION
    metadata: Metadata


REASON_PATTERN = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
"""Of a condition's reason, as Kubernetes has it."""


class Condition(ApiObject):
    """One aspect of where an object stands, as Kubernetes' API conventions define it."""

    type: str = Field(max_length=63, description="Which aspect.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(
        pattern=REASON_PATTERN,
        max_length=128,
        description="Why, as one CamelCase word for programs.",
    )
    message: Message = Field(default="", description="Why, and what to do about it, for people.")
    last_transition_time: Timestamp = Field(description="When `status` last changed.")
    observed_generation: Int | None = Field(
        default=None, ge=0, description="The metadata.generation it was decided from."
    )


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), KeyedList(("type",))]


class Status(ApiObject):
    """What every status holds."""

    observed_generation: Int | None = Field(
        default=None, ge=0, description="The metadata.generation that this status was made from."
    )
    conditions: Conditions = Field(default=(), description="Where the object stands, one entry a type.")


class Value(ApiObject):
    """One named figure. Figures are text: a float has no place in a resource."""

    name: ShortText = Field(description="What was measured.")
    value: ShortText = Field(description="The figure, as a decimal number in text.")
