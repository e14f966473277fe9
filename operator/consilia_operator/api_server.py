"""The API server: documents in, documents out, over one connection pool. The only place that speaks HTTP to it."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohttp import ClientError, ClientResponse, ClientTimeout
from kubernetes.aio import client, config

from consilia_operator import kinds
from consilia_operator.errors import ApiRefused, ApiUnavailable, Conflict
from consilia_operator.kinds import Kind
from consilia_operator.names import FIELD_MANAGER

Document = dict[str, Any]
Documents = list[Document]
Snapshot = tuple[Documents, str]
"""The objects, and the resourceVersion that a watch of them begins at."""
_TIMEOUT = 30.0
_APPLY, _MERGE = "application/apply-patch+yaml", "application/merge-patch+json"  # JSON is YAML
_PAGE = 500
_BROKEN = (ClientError, TimeoutError, OSError)


class ApiServer:
    """What the operator asks of it, and tells it. Every method may raise `ApiRefused` or `ApiUnavailable`."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    async def get(self, kind: Kind, namespace: str, name: str) -> Document | None:
        """The object as it is now; None if there is none."""
        return await self._ask("GET", _path(kind, namespace, name), absent=True)

    async def list(self, kind: Kind, namespace: str, selector: str = "") -> Documents:
        """Those of a namespace, or of all if it is empty, whose labels fit."""
        items, _ = await self.snapshot(kind, namespace, selector)
        return items

    async def snapshot(self, kind: Kind, namespace: str, selector: str = "") -> "Snapshot":
        """The same, with the resourceVersion that a watch may begin at."""
        query = {"limit": str(_PAGE)} | ({"labelSelector": selector} if selector else {})
        items: Documents = []
        while True:
            page = await self._ask("GET", f"{_path(kind, namespace)}?{urlencode(query)}")
            assert page is not None
            items += [{"apiVersion": kind.api_version, "kind": kind.kind} | item for item in page["items"]]
            if not (rest := page["metadata"].get("continue")):
                return items, page["metadata"]["resourceVersion"]
            query["continue"] = rest

    async def apply(self, document: Document) -> Document:
        """Make it so by server-side apply (KEP-555); what others wrote into our fields is written over."""
        query = urlencode({"fieldManager": FIELD_MANAGER, "force": "true"})
        return await self._write("PATCH", f"{_address(document)}?{query}", document, _APPLY)

    async def create_once(self, document: Document) -> Document:
        """Make it unless one of its name is there, which is never written over; the object as it is then."""
        kind, metadata = kinds.of(document), document["metadata"]
        try:
            return await self.create(document)
        except Conflict:
            found = await self.get(kind, metadata.get("namespace", ""), metadata["name"])
            if found is None:  # gone again in between
                return await self.create(document)
            return found

    async def create(self, document: Document) -> Document:
        """Make it.

        Raises:
            Conflict: one of its name is there.
        """
        path = _path(kinds.of(document), document["metadata"].get("namespace", ""))
        return await self._write("POST", f"{path}?fieldManager={FIELD_MANAGER}", document)

    async def replace(self, document: Document) -> Document:
        """Write it over the one that is there.

        Raises:
            Conflict: that one has changed since it was read.
        """
        return await self._write("PUT", _address(document), document)

    async def write_status(self, document: Document, status: Mapping[str, Any]) -> Document | None:
        """Write the whole status of an object that was read before; None if the object is gone.

        Raises:
            Conflict: the object has changed since it was read.
        """
        old = document.get("status", {})
        # A merge patch keeps what it does not name: what is no longer so is named, as null.
        patch = {
            "metadata": {"resourceVersion": document["metadata"]["resourceVersion"], "uid": document["metadata"]["uid"]}
        }
        patch["status"] = {name: None for name in old if name not in status} | dict(status)
        path = f"{_address(document)}/status?fieldManager={FIELD_MANAGER}"
        return await self._ask("PATCH", path, patch, _MERGE, absent=True)

    async def merge(self, kind: Kind, namespace: str, name: str, patch: Document) -> Document | None:
        """Change some fields (RFC 7386); None if the object is gone."""
        path = f"{_path(kind, namespace, name)}?fieldManager={FIELD_MANAGER}"
        return await self._ask("PATCH", path, patch, _MERGE, absent=True)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> None:
        """Have it gone, and with it what it owns; nothing happens if it is gone, or is another by `uid`."""
        options: Document = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._ask("DELETE", _path(kind, namespace, name), options, absent=True)
        except Conflict:
            if not uid:
                raise

    async def exists(self, kind: Kind) -> bool:
        """Whether the API server knows objects of this kind, in this version."""
        found = await self._ask(
            "GET", f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}", absent=True
        )
        return found is not None and any(each["name"] == kind.plural for each in found["resources"])

    @asynccontextmanager
    async def watch(
        self, kind: Kind, namespace: str, selector: str, version: str, seconds: float
    ) -> AsyncIterator[AsyncIterator[Document]]:
        """Events as they come, for so many seconds at most: `{"type": …, "object": …}`."""
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(int(seconds))}
        query |= {"resourceVersion": version} | ({"labelSelector": selector} if selector else {})
        path = f"{_path(kind, namespace)}?{urlencode(query)}"
        response = await self._send("GET", path, timeout=seconds + 30)
        try:
            yield _lines(response, path)
        finally:
            response.close()

    async def _write(self, method: str, path: str, body: Document, content: str = "application/json") -> Document:
        answer = await self._ask(method, path, body, content)
        assert answer is not None
        return answer

    async def _ask(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        content: str = "application/json",
        *,
        absent: bool = False,
    ) -> Document | None:
        try:
            async with await self._send(method, path, body, content) as response:
                answer: Document = json.loads(await response.read())
                return answer
        except ApiRefused as error:
            if absent and error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        except _BROKEN as error:
            raise _unavailable(method, path, error) from error

    async def _send(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        content: str = "application/json",
        timeout: float = _TIMEOUT,
    ) -> ClientResponse:
        headers = {"Accept": "application/json", "Content-Type": content}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url, limit = self._api.configuration.host + path, ClientTimeout(total=timeout)
        try:
            answer = await self._api.call_api(method, url, headers, body, _request_timeout=limit)
            response: ClientResponse = answer.response
            if response.status >= HTTPStatus.BAD_REQUEST:
                async with response:
                    raise _refusal(method, path, response.status, await response.read())
        except _BROKEN as error:
            raise _unavailable(method, path, error) from error
        return response


def _unavailable(method: str, path: str, error: Exception) -> ApiUnavailable:
    return ApiUnavailable(f"cannot {method} {path.partition('?')[0]}: {error or type(error).__name__}")


def _refusal(method: str, path: str, status: int, body: bytes) -> ApiRefused | ApiUnavailable:
    try:
        said = json.loads(body).get("message", "")
    except ValueError:
        said = body[:200].decode(errors="replace")
    message = f"cannot {method} {path.partition('?')[0]}: {status} {said}"
    if status == HTTPStatus.CONFLICT:
        return Conflict(status, message)
    if (
        status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        return ApiUnavailable(message)
    return ApiRefused(status, message)


async def _lines(response: ClientResponse, path: str) -> AsyncIterator[Document]:
    rest = b""
    try:
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)
    except _BROKEN as error:
        raise _unavailable("GET", path, error) from error


def _address(document: Mapping[str, Any]) -> str:
    metadata = document["metadata"]
    return _path(kinds.of(document), metadata.get("namespace", ""), metadata["name"])


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    parts = ["apis" if kind.group else "api", *kind.api_version.split("/")]
    if kind.namespaced and namespace:
        parts += ["namespaces", namespace]
    parts += [kind.plural, *([name] if name else [])]
    return "/" + "/".join(quote(part, safe="") for part in parts)


@asynccontextmanager
async def connect() -> AsyncIterator[ApiServer]:
    """The API server of the cluster that this runs in, or of KUBECONFIG, as kubectl has it."""
    configuration = client.Configuration()
    if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        given = os.environ.get("KUBECONFIG")  # the library reads it once, when it is imported
        await config.load_kube_config(config_file=given, client_configuration=configuration)  # type: ignore[no-untyped-call]
    # aiohttp would look through the environment, and for a ~/.netrc, in two threads at every request.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.proxy = configuration.proxy or _proxy(configuration.host)
    async with client.ApiClient(configuration) as api:
        yield ApiServer(api)


def _proxy(address: str) -> str | None:
    """The way to it that HTTPS_PROXY and NO_PROXY prescribe, as kubectl has it."""
    parts = urlsplit(address)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
