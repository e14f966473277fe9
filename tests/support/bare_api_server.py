"""The real API server with etcd on loopback and nothing beside them: what it says of objects that it is given."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from needed import missing

from consilia.api.crd import DEFINITIONS, custom_resource_definition
from consilia.broker.ports import HOST
from tests.cluster.bare import START_SECONDS, bare_cluster
from tests.cluster.components import CONTROL, ETCD

_PLURALS = {definition.resource.__name__: definition.plural for definition in DEFINITIONS}


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
    with bare_cluster(folder) as bare:
        connection = http.client.HTTPSConnection(HOST, bare.port, timeout=30, context=bare.context())
        with closing(connection):
            server = ApiServer(connection, bare.token)
            server.install_definitions()
            yield server


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
