"""kubectl, as whoever calls us has it: objects in and out as JSON. What is secret goes by standard input only."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consilia.errors import RunError

Document = dict[str, Any]
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Kubectl:
    """One namespace of one cluster."""

    namespace: str
    context: str | None = None
    """Of the kubeconfig. Default: its current one."""

    def get(self, kind: str, name: str) -> Document | None:
        """The object; None if there is none.

        Raises:
            RunError: kubectl is missing, or the API server says no.
        """
        text = self._run("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text.strip() else None

    def create(self, document: Mapping[str, Any]) -> Document:
        """Make it.

        Raises:
            RunError: it is there already, or the API server says no.
        """
        return json.loads(self._run("create", "-f", "-", "-o", "json", given=document))  # type: ignore[no-any-return]

    def replace(self, document: Mapping[str, Any]) -> Document:
        """Write it over the one that is there, unless that has changed since it was read.

        Raises:
            RunError: it has, or the API server says no.
        """
        return json.loads(self._run("replace", "-f", "-", "-o", "json", given=document))  # type: ignore[no-any-return]

    def list(self, kinds: str, selector: str) -> "list[Document]":
        """All with these labels.

        Raises:
            RunError: kubectl is missing, or the API server says no.
        """
        return json.loads(self._run("get", kinds, "-l", selector, "-o", "json"))["items"]  # type: ignore[no-any-return]

    def delete(self, kind: str, *names: str) -> None:
        """And wait until they are gone.

        Raises:
            RunError: kubectl is missing, or the API server says no.
        """
        self._run("delete", kind, *names, "--ignore-not-found")

    def cluster(self) -> str | None:
        """What stands for the cluster for good; None where the caller may not know."""
        try:
            text = self._run("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
        except RunError:
            return None
        return text.strip() or None

    def _run(self, *arguments: str, given: Mapping[str, Any] | None = None) -> str:
        if not (program := shutil.which("kubectl")):
            raise RunError("kubectl is not on the PATH.", remedy="Install it: https://kubernetes.io/docs/tasks/tools.")
        context = ["--context", self.context] if self.context else []
        command = [program, *context, "--namespace", self.namespace, *arguments]
        text = None if given is None else json.dumps(given)
        try:
            done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            message = f"kubectl {arguments[0]} was not done after {_SECONDS:.0f} s."
            raise RunError(message, remedy="See whether the cluster can be reached: kubectl cluster-info.") from None
        if done.returncode:
            what = " ".join(arguments[:3])
            message = f"kubectl {what} in namespace {self.namespace} failed: {done.stderr.strip()[-600:]}"
            raise RunError(message, remedy="Correct that, and try again.")
        return done.stdout
