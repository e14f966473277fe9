"""`helm test`: whether the operator is ready, the cluster serves our resources, and the operator may do its work.

`python -m consilia_operator.selftest --operator URL --settings FILE`, in a pod with the operator's ServiceAccount.
Standard library only, so that it still says what is wrong when a dependency is what is wrong.
"""

import argparse
import http.client
import json
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

API_SERVER = "https://kubernetes.default.svc"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PLURALS = ("federatedjobs", "hospitals", "datasets", "hospitaltasks")
_API = "/apis/consilia.dev/v1alpha1"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_SECONDS = 10.0

Json = dict[str, Any]
Ask = Callable[[str, Json | None], Json]
"""Puts one question to the API server: a path, and what to post if anything."""


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


RIGHTS = (
    *(Right("watch", "consilia.dev", plural) for plural in PLURALS),
    *(Right("patch", "consilia.dev", f"{plural}/status") for plural in PLURALS),
    Right("create", "consilia.dev", "hospitaltasks"),
    Right("create", "", "secrets"),
    Right("patch", "", "configmaps"),
    Right("watch", "", "pods"),
    Right("patch", "apps", "deployments"),
    Right("patch", "apps", "statefulsets"),
    Right("patch", "batch", "jobs"),
)


def problems(operator: str, settings: Path, ask: Ask) -> Iterator[str]:
    """Everything that is wrong, each with the way out."""
    yield from _not_ready(operator)
    yield from _not_served(ask)
    for namespace in json.loads(settings.read_text(encoding="utf-8"))["namespaces"] or [""]:
        yield from _not_allowed(namespace, ask)


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


def _not_allowed(namespace: str, ask: Ask) -> Iterator[str]:
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    for right in RIGHTS:
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

    def ask(path: str, body: Json | None) -> Json:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        with urlopen(Request(server + path, data, headers), timeout=_SECONDS, context=trust) as answer:  # noqa: S310
            found: Json = json.load(answer)
            return found

    return ask


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if all is well, 1 with one line for each problem."""
    parser = argparse.ArgumentParser(prog="consilia_operator.selftest", description="Whether an installation works.")
    parser.add_argument("--operator", required=True, help="address of the operator's Service")
    parser.add_argument("--settings", required=True, type=Path, help="the operator's settings file")
    options = parser.parse_args(arguments)
    found = list(problems(options.operator, options.settings, asking(API_SERVER, ACCOUNT)))
    for problem in found or ["the operator is ready, the resources are served, and the rights are there."]:
        print(problem, file=sys.stderr if found else sys.stdout)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
