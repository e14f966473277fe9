"""`helm test`: whether the operator is ready, the cluster serves our resources, and the operator may do its work.

`python -m consilia_operator.selftest --operator URL --settings FILE`, in a pod with the operator's ServiceAccount.
Standard library only, so that it still says what is wrong when a dependency is what is wrong.
"""

import argparse
import http.client
import json
import ssl
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from urllib.request import Request, urlopen

API_SERVER = "https://kubernetes.default.svc"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PLURALS = ("federatedjobs", "hospitals", "datasets", "hospitaltasks")
_API = "/apis/consilia.dev/v1alpha1"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_SECONDS = 10.0

Json = dict[str, Any]
DATE = "date of the answer"
"""Among what `asking` gives: when the API server answered, by its own clock (HTTP's Date)."""


class Ask(Protocol):
    """Puts one question to the API server: a path, and what to post if anything."""

    def __call__(self, path: str, body: Json | None, *, method: str | None = None) -> Json:
        """Its answer. Raises: OSError: it says no, or nothing."""


@dataclass(frozen=True, slots=True)
class Right:
    """Something that the operator cannot work without."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"

    def review(self, namespace: str) -> Json:
        """The question whether we have it, in a namespace, or in all if that is empty."""
        resource, _, subresource = self.resource.partition("/")
        attributes = {"verb": self.verb, "group": self.group, "resource": resource, "subresource": subresource}
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes | {"namespace": namespace}},
        }


_OF_ALL = (
    *(Right("watch", "consilia.dev", plural) for plural in PLURALS),
    Right("create", "consilia.dev", "hospitaltasks"),
    Right("create", "", "secrets"),
    Right("patch", "", "configmaps"),
    Right("watch", "", "pods"),
    Right("patch", "apps", "deployments"),
)
RIGHTS: Mapping[str, tuple[Right, ...]] = MappingProxyType(
    {
        "Hub": (
            *_OF_ALL,
            Right("patch", "consilia.dev", "federatedjobs/status"),
            Right("patch", "consilia.dev", "hospitals/status"),
            Right("patch", "apps", "statefulsets"),
        ),
        "Hospital": (
            *_OF_ALL,
            Right("patch", "consilia.dev", "datasets/status"),
            Right("patch", "consilia.dev", "hospitaltasks/status"),
            Right("patch", "batch", "jobs"),
        ),
    }
)
"""By the operator's roles."""


def problems(operator: str, settings: Path, ask: Ask) -> Iterator[str]:
    """Everything that is wrong, each with the way out."""
    told = json.loads(settings.read_text(encoding="utf-8"))
    rights = dict.fromkeys(right for role in told.get("roles", RIGHTS) for right in RIGHTS[role])
    yield from _not_ready(operator)
    yield from _not_served(ask)
    for namespace in told["namespaces"] or [""]:
        yield from _not_allowed(namespace, rights, ask)


def _not_ready(operator: str) -> Iterator[str]:
    try:
        with urlopen(f"{operator}/readyz", timeout=_SECONDS):  # noqa: S310 - the chart's own Service
            pass
    except (OSError, http.client.HTTPException) as error:
        yield f"the operator at {operator} is not ready: {error}. Look at its log."


def _not_served(ask: Ask) -> Iterator[str]:
    try:
        served = {each["name"] for each in ask(_API, None)["resources"]}
    except OSError as error:
        yield f"the cluster does not serve {_API}: {error}. Install the chart with crds.install=true, or apply crds/."
        return
    for plural in PLURALS:
        if plural not in served:
            yield f"the cluster does not know {plural}.consilia.dev. Apply crds/{plural}.consilia.dev.yaml."


def _not_allowed(namespace: str, rights: Iterable[Right], ask: Ask) -> Iterator[str]:
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    for right in rights:
        try:
            allowed = ask(_REVIEWS, right.review(namespace))["status"]["allowed"]
        except OSError as error:
            yield f"cannot ask the API server what the operator may do {where}: {error}."
            return
        if not allowed:
            yield f"the operator may not {right} {where}. Set rbac.create=true, or bind the Roles yourself."


def asking(server: str, account: Path) -> Ask:
    """Questions to the API server in a pod's own name."""
    token = (account / "token").read_text(encoding="utf-8").strip()
    trust = ssl.create_default_context(cafile=str(account / "ca.crt"))

    def ask(path: str, body: Json | None, *, method: str | None = None) -> Json:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        asked = Request(server + path, data, headers, method=method)  # noqa: S310
        with urlopen(asked, timeout=_SECONDS, context=trust) as answer:  # noqa: S310
            found: Json = json.load(answer)
            found[DATE] = answer.headers["Date"]
            return found

    return ask


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if all is well, 1 with one line for each problem."""
    parser = argparse.ArgumentParser(prog="consilia_operator.selftest", description="Whether an installation works.")
    parser.add_argument("--operator", required=True, help="address of the operator's Service")
    parser.add_argument("--settings", required=True, type=Path, help="the operator's settings file")
    options = parser.parse_args(arguments)
    ask = asking(API_SERVER, ACCOUNT)
    found = list(problems(options.operator, options.settings, ask))
    told = json.loads(options.settings.read_text(encoding="utf-8"))
    if not found and told.get("hospital"):
        # Only here: without the library nothing above could be asked.
        from consilia_operator.hospital_selftest import problems as hospitals_problems  # noqa: PLC0415

        found = list(hospitals_problems(told["hospital"], options.settings, ask))
    for problem in found or ["all is well."]:
        print(problem, file=sys.stderr if found else sys.stdout)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
