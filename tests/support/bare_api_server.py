"""The real API server with etcd on loopback and nothing beside them: what it says of objects that it is given."""

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from needed import missing

from consilia.api.crd import DEFINITIONS, custom_resource_definition
from consilia.broker.guarded import Guarded
from consilia.broker.ports import HOST, free_ports
from consilia.certificates import create_authority, issue_server
from tests.cluster.components import CONTROL, ETCD

START_SECONDS = 90.0
_PLURALS = {definition.resource.__name__: definition.plural for definition in DEFINITIONS}
_NOWHERE = "192.0.2.1"
"""RFC 5737: what the server advertises, as it refuses loopback; nobody asks for it."""


@dataclass(frozen=True, slots=True)
class ApiServer:
    """One connection that is kept alive, as its administrator."""

    connection: http.client.HTTPSConnection
    token: str

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status, and the answer as JSON, or as text where it is none."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self.connection.getresponse()
        content = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(content) if is_json else content.decode()

    def refusal(self, document: dict[str, Any]) -> str:
        """Why the object may not be created; empty when it may. Nothing is kept."""
        return self._refusal("POST", f"{_collection(document)}?dryRun=All&fieldValidation=Strict", _here(document))

    def change_refusal(self, before: dict[str, Any], after: dict[str, Any]) -> str:
        """Why the one object may not become the other; empty when it may."""
        collection = _collection(before)
        status, made = self.ask("POST", collection, _here(before))
        assert status == 201, made
        one = f"{collection}/{made['metadata']['name']}"
        try:
            wanted = _here(after)
            wanted["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
            return self._refusal("PUT", f"{one}?dryRun=All&fieldValidation=Strict", wanted)
        finally:
            self.ask("DELETE", one)

    def _refusal(self, method: str, path: str, document: dict[str, Any]) -> str:
        status, answer = self.ask(method, path, document)
        assert status in {200, 201, 400, 422}, answer
        return "" if status < 300 else str(answer["message"])

    def install_definitions(self) -> None:
        """Add our CustomResourceDefinitions, and wait until they are served."""
        for definition in DEFINITIONS:
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            status, answer = self.ask("POST", path, custom_resource_definition(definition))
            assert status == 201, answer
            _until(lambda plural=definition.plural: self.ask("GET", _path(plural))[0] == 200, definition.name)


@contextmanager
def bare_api_server(folder: Path) -> Iterator[ApiServer]:
    """Within the block it runs, with our definitions installed; its files lie in `folder`."""
    if not (CONTROL.built and ETCD.built):
        missing("the API server is not built: run `make cluster` once")
    authority = create_authority("tests", lasts=timedelta(days=1))
    issue_server(authority, "apiserver", [HOST], lasts=timedelta(days=1)).save(folder / "tls.crt", folder / "tls.key")
    token = secrets.token_hex()
    (folder / "tokens.csv").write_text(f"{token},tests,tests,system:masters\n")
    storage, peers, port = free_ports(3)
    with ExitStack() as stack:
        programs = {"etcd": _etcd(storage, peers), "apiserver": _api_server(storage, port)}
        running = [Guarded(command, folder / f"{name}.log", folder) for name, command in programs.items()]
        for process in running:
            stack.callback(process.wait)
            stack.callback(process.kill)
        context = ssl.create_default_context(cadata=authority.certificate_pem.decode())
        connection = http.client.HTTPSConnection(HOST, port, timeout=30, context=context)
        stack.callback(connection.close)
        server = ApiServer(connection, token)
        _until(lambda: _is_ready(server, running), f"the API server; see {folder}/*.log")
        server.install_definitions()
        yield server


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
        "--service-cluster-ip-range=192.0.2.128/25",
        "--authorization-mode=RBAC",
        "--token-auth-file=tokens.csv",
        "--tls-cert-file=tls.crt",
        "--tls-private-key-file=tls.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=tls.crt",
        "--service-account-signing-key-file=tls.key",
    ]


def _is_ready(server: ApiServer, running: list[Guarded]) -> bool:
    assert all(process.running() for process in running), "a program ended; see its log"
    try:
        return server.ask("GET", "/readyz")[0] == 200
    except OSError:
        server.connection.close()
        return False


def _until(holds: Any, what: str) -> None:
    end = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < end, f"in vain waited for {what}"
        time.sleep(0.1)


def _here(document: dict[str, Any]) -> dict[str, Any]:
    """The same in the one namespace that there is."""
    return {**document, "metadata": {**document["metadata"], "namespace": "default"}}


def _collection(document: dict[str, Any]) -> str:
    return _path(_PLURALS[document["kind"]])


def _path(plural: str) -> str:
    return f"/apis/consilia.dev/v1alpha1/namespaces/default/{plural}"
