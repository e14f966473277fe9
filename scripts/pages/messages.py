"""docs/reference/messages.md: every message and field, and a signed example to test an implementation with."""

import json
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel

from consilia.wire import messages
from consilia.wire.identity import Identity
from consilia.wire.layout import Layout, Tensor
from consilia.wire.messages import SIGNATURE, Left, Message, encode
from scripts.pages.markdown import fenced, page, table
from scripts.pages.sources import Module, read_module

INTRODUCTION = """\
A message is one record on the log: its value is the canonical JSON of these fields, its headers carry the signature.
How they travel, and in which order, is in [Wire format](../concepts/wire-format.md). A field that is not listed makes a
message `Malformed`. A field whose value is absent is left out; `null` is never sent."""

PARTS = (messages.Payload, messages.LedgerHead, messages.CountedUpdate, messages.RefusedUpdate)
TEST_KEY = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
"""The secret key of RFC 8032, section 7.1, TEST 1."""

EXAMPLE = """\
The message that `riverside` leaves the job `heart-disease`, signed with the secret key of RFC 8032, section 7.1, TEST 1
(`{key}`). The record's value:

{value}

Its header `{header}`:

{signature}

What is signed is the line `consilia.dev/v1alpha1 message`, a line feed, and the value."""


MODEL = """\
A model with a weight of shape (1, 2), its bias, and the running mean of a normalisation layer, which is a buffer. The
file's first eight bytes, in hexadecimal, give the length of the JSON that follows, its padding included:

{length}

{header}

It is followed by 16 bytes of tensors: the file has {size} bytes, one chunk."""


def messages_page() -> str:
    """The page."""
    source = read_module("consilia/wire/messages.py")
    return page(
        "# Messages",
        INTRODUCTION,
        "## Of a hospital, on its own topic",
        *_sections(typing.get_args(messages.FromHospital), source),
        "## Of the aggregator, on the rounds topic",
        *_sections(typing.get_args(messages.FromAggregator), source),
        "## Parts of messages",
        *_sections(PARTS, source),
        "## A signed example",
        _example(),
        "## A model file",
        _model_file(),
    )


def _sections(models: typing.Iterable[type[BaseModel]], source: Module) -> Iterator[str]:
    for model in models:
        yield f"### {model.__name__}"
        doc = source.class_named(model.__name__).doc
        text = doc.partition(": ")[2] or doc
        yield text[:1].upper() + text[1:]
        yield table(("Field", "Type", "Default", "Meaning"), _rows(model, source))


def _rows(model: type[BaseModel], source: Module) -> Iterator[tuple[str, ...]]:
    documented = [source.class_named(Message.__name__), source.class_named(model.__name__)]
    meanings = {attribute.name: attribute.doc for each in documented for attribute in each.attributes}
    schema = model.model_json_schema(by_alias=True)
    for name, field in model.model_fields.items():
        alias = field.alias or name
        meaning = "Which message this is." if name == "type" else meanings[name]
        default = "**required**" if alias in schema.get("required", ()) or name == "type" else _default(field.default)
        yield f"`{alias}`", in_words(schema["properties"][alias]), default, meaning


def _default(value: object) -> str:
    return "absent" if value is None else f"`{json.dumps(value)}`"


def in_words(schema: dict[str, Any]) -> str:
    """A JSON schema as a person says it."""
    match schema:
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            return "a [refusal's reason](errors.md#refusals)" if name == "Refusal" else f"[{name}](#{name.lower()})"
        case {"anyOf": [inner, {"type": "null"}]}:
            return in_words(inner)
        case {"type": "array", "items": items}:
            return f"list: {in_words(items)}"
        case {"type": "object", "additionalProperties": dict(inner)}:
            return f"object, by name: {in_words(inner)}{_at_most(schema.get('maxProperties'), 'entries')}"
        case _:
            return _scalar_in_words(schema)


def _scalar_in_words(schema: dict[str, Any]) -> str:
    if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return ", ".join(f"`{value}`" for value in values)
    if "pattern" in schema:
        return (
            "`sha256:` and 64 hexadecimal digits" if "sha256" in schema["pattern"] else f"text: `{schema['pattern']}`"
        )
    if schema["type"] == "string":
        return f"text{_at_most(schema.get('maxLength'), 'characters')}"
    kind = "whole number" if schema["type"] == "integer" else "finite number"
    return f"{kind}{_from_to(schema.get('minimum'), schema.get('maximum'))}"


def _at_most(bound: int | None, unit: str) -> str:
    return f", at most {bound:,} {unit}" if bound else ""


def _from_to(least: float | None, most: float | None) -> str:
    powers = {2**53 - 1: "2⁵³ - 1", 2**40: "2⁴⁰"}
    if least is None:
        return ""
    return f", at least {least:g}" if most is None else f", {least:g} to {powers.get(int(most), f'{most:,}')}"


def _model_file() -> str:
    single = np.dtype("<f4")
    layout = Layout.of([
        Tensor(name="weight", dtype=single, shape=(1, 2)),
        Tensor(name="bias", dtype=single, shape=(1,)),
        Tensor(name="norm.running_mean", dtype=single, shape=(1,), trainable=False),
    ])  # fmt: skip
    length, header = layout.header[:8], layout.header[8:].decode()
    return MODEL.format(length=fenced(length.hex(), "text"), header=fenced(header, "json"), size=layout.size)


def _example() -> str:
    identity = Identity("riverside", Ed25519PrivateKey.from_private_bytes(bytes.fromhex(TEST_KEY)))
    value, headers = encode(Left(job="heart-disease", hospital="riverside", reason="DataUnavailable"), identity)
    return EXAMPLE.format(
        key=TEST_KEY,
        value=fenced(value.decode(), "json"),
        header=SIGNATURE,
        signature=fenced(headers[SIGNATURE], "text"),
    )
