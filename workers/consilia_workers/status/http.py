"""As much of HTTP/1.1 as a status port needs: one GET a connection, everything bounded. Pure.

RFC 9112. Whoever wants more than a few lines of request gets a refusal, and bodies are not read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

LONGEST_HEAD = 8192
"""So many bytes may a request's line and headers have together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered."""

    status: HTTPStatus = HTTPStatus.OK
    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"

    def as_bytes(self) -> bytes:
        """As it goes over the wire."""
        head = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.kind}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        if self.status is HTTPStatus.METHOD_NOT_ALLOWED:
            head.append("Allow: GET")
        if self.status is HTTPStatus.NO_CONTENT:
            head = [line for line in head if not line.startswith("Content-")]
        return "\r\n".join([*head, "", ""]).encode("ascii") + self.body


def refusal(status: HTTPStatus, words: str) -> Answer:
    """No, and why."""
    return Answer(status=status, body=f"{words}\n".encode())


def parse(head: bytes) -> Request | Answer:
    """The request in a head that ends with an empty line, or the refusal of what is none."""
    try:
        first, *headers = head.decode("ascii").split("\r\n")
        method, target, version = first.split(" ")
        parts = urlsplit(target)
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=16)
    except ValueError:  # UnicodeDecodeError is one, too
        return refusal(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
    if version not in {"HTTP/1.0", "HTTP/1.1"} or not target.startswith("/"):
        return refusal(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 request")
    if method != "GET":
        return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is answered here")
    accept = [line.partition(":")[2].strip() for line in headers if line.lower().startswith("accept:")]
    return Request(path=parts.path, query=dict(pairs), accept=",".join(accept))
