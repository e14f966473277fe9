"""The scalar types of the resources: strings with patterns, decimals as strings, lists that are sets or maps."""

import math
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Strict
from pydantic_core import CoreSchema, core_schema

from consilia.api.rules import Rule, obey

LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"
PRESERVE = "x-kubernetes-preserve-unknown-fields"

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SHA256_PATTERN = r"^sha256:[0-9a-f]{64}$"
_DECIMAL_PATTERN = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?$"

_ENTRYPOINT_PATTERN = (
    r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
)
_IMAGE_PATTERN = r"^[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$"
_METRIC_PATTERN = r"^[a-z][a-z0-9_]*$"
_QUANTITY_PATTERN = r"^[1-9][0-9]*(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$"
_DAY = r"[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME_PATTERN = rf"^{_DAY}T{_CLOCK}:[0-5][0-9](\.[0-9]{{1,9}})?(Z|[-+]{_CLOCK})$"

PATTERN_WORDS: Mapping[str, str] = MappingProxyType(
    {
        NAME_PATTERN: "lower-case letters, digits and hyphens, beginning and ending with a letter or digit",
        SHA256_PATTERN: "a digest: sha256: and 64 hexadecimal digits",
        _DECIMAL_PATTERN: 'a decimal number in quotes, such as "0.01" or "1e-5"',
        _ENTRYPOINT_PATTERN: "of the form package.module:Attribute",
        _IMAGE_PATTERN: "an image named by its digest: name@sha256: and 64 hexadecimal digits",
        _METRIC_PATTERN: "a metric's name: lower-case letters, digits and underscores",
        _QUANTITY_PATTERN: "a quantity of bytes, such as 10Gi",
        _TIME_PATTERN: "a time, such as 2026-01-31T08:00:00Z",
    }
)
"""What a pattern asks for, in a person's words."""

Int = Annotated[int, Strict()]
"""A whole number, written as one: neither "5" nor true."""

Bool = Annotated[bool, Strict()]
"""true or false, not text."""

DecimalString = Annotated[str, Field(pattern=_DECIMAL_PATTERN, max_length=32)]
"""A decimal number in quotes, such as "0.01": the same digits on every machine. `float()` turns it into a number."""

PositiveDecimal = Annotated[
    DecimalString,
    Rule(
        cel="double(self) > 0.0",
        holds=lambda text: float(text) > 0,
        message="must be above 0",
        remedy='write a positive number in quotes, such as "0.01"',
    ),
]

NonNegativeDecimal = Annotated[
    DecimalString,
    Rule(
        cel="double(self) >= 0.0",
        holds=lambda text: float(text) >= 0,
        message="must be 0 or more",
        remedy='write "0" or a positive number in quotes',
    ),
]

UnitDecimal = Annotated[
    DecimalString,
    Rule(
        cel="double(self) >= 0.0 && double(self) < 1.0",
        holds=lambda text: 0 <= float(text) < 1,
        message="must be 0 or more and below 1",
        remedy='write a number such as "0.9" in quotes',
    ),
]

ShareDecimal = Annotated[
    DecimalString,
    Rule(
        cel="double(self) > 0.0 && double(self) <= 1.0",
        holds=lambda text: 0 < float(text) <= 1,
        message="must be above 0 and at most 1",
        remedy='write a number such as "0.5" in quotes',
    ),
]

Delta = Annotated[
    DecimalString,
    Rule(
        cel="double(self) > 0.0 && double(self) < 1.0",
        holds=lambda text: 0 < float(text) < 1,
        message="must be above 0 and below 1",
        remedy='write a small number such as "1e-5" in quotes, well below one over the number of patients',
    ),
]

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=63)]
"""An RFC 1123 label: lower-case letters, digits and hyphens, at most 63."""

MetricName = Annotated[str, Field(pattern=_METRIC_PATTERN, max_length=63)]

Entrypoint = Annotated[
    str,
    Field(
        pattern=_ENTRYPOINT_PATTERN,
        max_length=253,
    ),
]
"""Where the task's class is: package.module:Attribute."""

ImageDigest = Annotated[str, Field(pattern=_IMAGE_PATTERN, max_length=512)]
"""A container image named by its digest: what was approved is what runs."""

Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN, max_length=71)]

Quantity = Annotated[str, Field(pattern=_QUANTITY_PATTERN, max_length=32)]
"""A Kubernetes quantity of bytes, such as 10Gi."""


def on_the_calendar(value: str) -> str:
    """The time itself, if its month has that day."""
    there = Rule(
        cel="",
        holds=lambda text: int(text[8:10]) <= monthrange(int(text[:4]), int(text[5:7]))[1],
        message="must be a day that there is",
        remedy="correct the day",
    )
    return obey((there,), value)


Timestamp = Annotated[
    str,
    Field(pattern=_TIME_PATTERN, max_length=64, json_schema_extra={"format": "date-time"}),
    AfterValidator(on_the_calendar),
]
"""An RFC 3339 time, such as 2026-01-31T08:00:00Z."""

LabelValue = Annotated[str, Field(max_length=63)]
ShortText = Annotated[str, Field(max_length=253)]
Message = Annotated[str, Field(max_length=1024)]


def json_values(value: dict[str, Any]) -> dict[str, Any]:
    """The object itself, if it is made of what every JSON reader takes for the same (RFC 8785), without null."""
    broken = Rule(
        cel="",
        holds=_is_json,
        message="must hold text, numbers below 2^53, true, false, lists and objects only",
        remedy="leave out empty fields, and write .nan, .inf and larger whole numbers as text",
    )
    return obey((broken,), value)


def _is_json(value: object) -> bool:
    match value:
        case Mapping():
            return all(isinstance(key, str) and _is_json(key) and _is_json(item) for key, item in value.items())
        case list() | tuple():
            return all(_is_json(item) for item in value)
        case float():
            return math.isfinite(value)
        case int():
            return abs(value) < 2**53
        case str():
            return not any("\ud800" <= character <= "\udfff" for character in value)
    return False


JsonObject = Annotated[
    dict[str, Any],
    Field(max_length=64, json_schema_extra={PRESERVE: True}),
    AfterValidator(json_values),
]
"""An object whose fields are somebody else's: kept as they are."""


@dataclass(frozen=True, slots=True)
class KeyedList:
    """A list that the API server treats as a map by `keys`, or as a set without: nothing in it comes twice."""

    keys: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._refuse_duplicates, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        kind = {LIST_TYPE: "map", LIST_KEYS: list(self.keys)}
        return {**handler(schema), **(kind if self.keys else {LIST_TYPE: "set"})}

    def _refuse_duplicates(self, items: Sequence[object]) -> Sequence[object]:
        unique = Rule(
            cel="",
            holds=lambda values: len({self._identity(value) for value in values}) == len(values),
            message=f"must not name the same {' and '.join(self.keys) or 'value'} twice",
            remedy="remove the second one",
        )
        return obey((unique,), items)

    def _identity(self, item: object) -> object:
        return tuple(getattr(item, key) for key in self.keys) if self.keys else item
