"""What the commands of `consilia enroll` are told and what they tell, to people and to programs."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The namespace, of the same name as the hospital.")]
HubNamespace = Annotated[str, typer.Option("--namespace", "-n", help="The namespace of the hub's jobs.")]
Context = Annotated[str | None, typer.Option(help="Of the kubeconfig. Default: the current one.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write it. Default: standard output.")]
Fingerprint = Annotated[
    str | None, typer.Option(help="What the other side reads out: whose key has another one is refused unasked.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether the fingerprint is right.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def joined(hospital: dict[str, Any] | None) -> tuple[str, str]:
    """Why it has joined or not: in one word, and in a sentence."""
    conditions = (hospital or {}).get("status", {}).get("conditions", [])
    found = next((each for each in conditions if each["type"] == "Joined"), None)
    return (found["reason"], found["message"]) if found else ("", "")


def tell(lines: list[str], data: dict[str, Any], as_json: bool) -> None:
    """On standard error for people, as one object on standard output for programs."""
    if as_json:
        typer.echo(json.dumps(data, ensure_ascii=False))
    else:
        Console(stderr=True, soft_wrap=True, highlight=False).print("\n".join(lines))
