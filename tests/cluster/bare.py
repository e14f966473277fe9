"""The real API server with etcd on loopback and nothing beside them: no node, no controller; seconds to start."""

import json
import secrets
import ssl
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from consilia.broker.guarded import Guarded
from consilia.broker.ports import HOST, free_ports
from consilia.certificates import create_authority, issue_server
from tests.cluster.components import CONTROL, ETCD
from tests.cluster.places import ClusterError

START_SECONDS = 90.0
_NOWHERE = "192.0.2.1"
"""RFC 5737: what the server advertises, as it refuses loopback; nobody asks for it."""
_SERVICES = "198.18.0.0/16"
"""RFC 2544: the addresses of Services; nobody asks for them either."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A running one, and how its administrator reaches it."""

    port: int
    authority: str
    """The certificate of whom to trust, as PEM."""
    token: str
    kubeconfig: Path

    def context(self) -> ssl.SSLContext:
        """For connections to it."""
        return ssl.create_default_context(cadata=self.authority)

    def ask(self, path: str) -> str:
        """What it answers, as text.

        Raises:
            OSError: it says no, or nothing.
        """
        request = urllib.request.Request(f"https://{HOST}:{self.port}{path}")
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=30, context=self.context()) as response:
            return str(response.read().decode())


@contextmanager
def bare_cluster(folder: Path) -> Iterator[Bare]:
    """Within the block it runs; its files lie in `folder`.

    Raises:
        ClusterError: its programs are not built, or do not start.
    """
    if not (CONTROL.built and ETCD.built):
        raise ClusterError("the API server is not built.", remedy="Run `make cluster` once.")
    storage, peers, port = free_ports(3)
    bare = _prepare(folder, port)
    with ExitStack() as stack:
        running = []
        for name, command in {"etcd": _etcd(storage, peers), "apiserver": _api_server(storage, port)}.items():
            process = Guarded(command, folder / f"{name}.log", folder)
            stack.callback(process.wait)
            stack.callback(process.kill)
            running.append(process)
        _wait(bare, running, folder)
        yield bare


def _prepare(folder: Path, port: int) -> Bare:
    """Its certificate, its one token, and the file that kubectl takes."""
    authority = create_authority("tests", lasts=timedelta(days=1))
    issue_server(authority, "apiserver", [HOST], lasts=timedelta(days=1)).save(folder / "tls.crt", folder / "tls.key")
    trusted, token = folder / "ca.crt", secrets.token_hex()
    trusted.write_bytes(authority.certificate_pem)
    (folder / "tokens.csv").write_text(f"{token},tests,tests,system:masters\n")
    bare = Bare(port, authority.certificate_pem.decode(), token, folder / "kubeconfig")
    cluster = {"server": f"https://{HOST}:{port}", "certificate-authority": str(trusted)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bare", "cluster": cluster}],
        "users": [{"name": "tests", "user": {"token": token}}],
        "contexts": [{"name": "bare", "context": {"cluster": "bare", "user": "tests"}}],
        "current-context": "bare",
    }
    bare.kubeconfig.write_text(json.dumps(document))  # JSON is YAML
    return bare


def _etcd(port: int, peers: int) -> list[str]:
    clients, members = f"http://{HOST}:{port}", f"http://{HOST}:{peers}"
    return [
        str(ETCD.folder / "etcd"),
        "--data-dir=etcd",
        "--unsafe-no-fsync",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={members}",
        f"--initial-advertise-peer-urls={members}",
        f"--initial-cluster=default={members}",
    ]


def _api_server(storage: int, port: int) -> list[str]:
    return [
        str(CONTROL.folder / "kube-apiserver"),
        f"--etcd-servers=http://{HOST}:{storage}",
        f"--bind-address={HOST}",
        f"--secure-port={port}",
        f"--advertise-address={_NOWHERE}",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={_SERVICES}",
        "--authorization-mode=RBAC",
        "--token-auth-file=tokens.csv",
        "--tls-cert-file=tls.crt",
        "--tls-private-key-file=tls.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=tls.crt",
        "--service-account-signing-key-file=tls.key",
    ]


def _wait(bare: Bare, running: list[Guarded], folder: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not _is_ready(bare):
        if time.monotonic() > end or not all(process.running() for process in running):
            raise ClusterError("the API server does not start.", remedy=f"See {folder}/*.log.")
        time.sleep(0.1)


def _is_ready(bare: Bare) -> bool:
    try:
        bare.ask("/readyz")
    except OSError:
        return False
    return True
