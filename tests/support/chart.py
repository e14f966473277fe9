"""The chart as Helm renders it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "consilia"
HELM = Path(sys.executable).with_name("helm")
MONITORING = "monitoring.coreos.com/v1"
Document = dict[str, Any]


class RefusedError(Exception):
    """Helm does not take these values; says why."""


def render(values: Document | None = None, *, apis: Sequence[str] = ()) -> list[Document]:
    """All objects of the release `consilia` in the namespace `operators`, for a cluster that has these APIs too."""
    text = helm("template", "consilia", CHART, "-n", "operators", *_given(apis), values=values)
    return [document for document in yaml.safe_load_all(text) if document]


def _given(apis: Sequence[str]) -> list[str]:
    return [word for api in apis for word in ("--api-versions", api)]


def helm(*arguments: object, values: Document | None = None) -> str:
    """What a command of Helm prints, with these values instead of the defaults."""
    command = [HELM, *map(str, arguments), "-f", "-"]
    given = json.dumps(values or {})
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


def one(documents: Sequence[Document], kind: str, name: str = "consilia-operator") -> Document:
    """The only object of this kind and name."""
    (found,) = (each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def settings_in(documents: Sequence[Document]) -> str:
    """The operator's settings file."""
    return str(one(documents, "ConfigMap")["data"]["operator.json"])
