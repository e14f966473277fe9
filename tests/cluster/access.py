"""How tests talk to a cluster, whoever runs it: kubectl, helm, and namespaces of their own."""

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.commands import PATH, output

MADE_BY = "consilia.dev/made-by=tests"
"""The label of every namespace that tests make: what is left over from killed ones is found by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A kubeconfig, and the commands that use it."""

    kubeconfig: Path
    kubectl_path: Path

    @property
    def environment(self) -> dict[str, str]:
        """For programs that look for a cluster themselves; nothing that they say is meant for another one."""
        path = f"{self.kubectl_path.parent}:{os.environ.get('PATH', PATH)}"
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def kubectl(self, *arguments: str | Path, stdin: str | None = None, timeout: float = 120) -> str:
        """What kubectl prints.

        Raises:
            ClusterError: it failed; the message holds what it said.
        """
        return output(self.kubectl_path, "--kubeconfig", self.kubeconfig, *arguments, stdin=stdin, timeout=timeout)

    def get(self, *arguments: str) -> dict:
        """`kubectl get ... -o json`, read."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *documents: dict, namespace: str = "default") -> None:
        """Apply objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.kubectl("apply", "--namespace", namespace, "-f", "-", stdin=json.dumps(listed))

    def helm(self, *arguments: str | Path, timeout: float = 300) -> str:
        """What helm prints, the one that the project locks.

        Raises:
            ClusterError: it failed; the message holds what it said.
        """
        return output(Path(sys.prefix) / "bin" / "helm", *arguments, timeout=timeout, env=self.environment)

    def wait(self, what: str, condition: str, namespace: str, seconds: int = 60) -> None:
        """`kubectl wait`.

        Raises:
            ClusterError: the condition did not come about.
        """
        arguments = ("wait", what, f"--for={condition}", f"--namespace={namespace}", f"--timeout={seconds}s")
        self.kubectl(*arguments, timeout=seconds + 30)

    @contextmanager
    def namespace(self, prefix: str = "test", **labels: str) -> Iterator[str]:
        """A namespace of this test's own, with these labels; afterwards it is deleted."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        self.kubectl("create", "namespace", name)
        try:
            self.kubectl("label", "namespace", name, MADE_BY, *(f"{key}={value}" for key, value in labels.items()))
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    def delete_leftovers(self) -> None:
        """Delete what tests made, and did not live to delete."""
        self.kubectl("delete", "namespaces", "--selector", MADE_BY, "--wait=false", "--ignore-not-found")
