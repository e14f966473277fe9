"""`helm test`: what it asks, and that it names everything that is wrong with an installation."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

import pytest

from consilia_operator import kinds
from consilia_operator.kinds import Kind
from consilia_operator.selftest import PLURALS, RIGHTS, problems


@dataclass
class Cluster:
    """What the API server and the operator answer."""

    served: tuple[str, ...] = PLURALS
    denied: tuple[str, ...] = ()
    ready: int = 200
    asked: list[dict] = field(default_factory=list)

    def get(self, path):
        if path == "/readyz":
            return self.ready, {}
        if path == "/apis/consilia.dev/v1alpha1" and self.served:
            return 200, {"resources": [{"name": name} for name in self.served]}
        return 404, {}

    def review(self, body):
        self.asked.append(body["spec"]["resourceAttributes"])
        allowed = body["spec"]["resourceAttributes"]["resource"] not in self.denied
        return 201, {"status": {"allowed": allowed}}


@contextmanager
def serving(cluster):
    """Both at one address, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(*cluster.get(self.path))

        def do_POST(self):
            self.answer(*cluster.review(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def answer(self, status, body):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *arguments):
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def every_right():
    return {right for rights in RIGHTS.values() for right in rights}


def found(cluster, tmp_path, namespaces=(), **more):
    settings = tmp_path / "operator.json"
    settings.write_text(json.dumps({"namespaces": list(namespaces)} | more), encoding="utf-8")
    with serving(cluster) as address:

        def ask(path, body):
            data = json.dumps(body).encode() if body is not None else None
            with urlopen(Request(address + path, data), timeout=10) as answer:
                return json.load(answer)

        return list(problems(address, settings, ask))


def test_a_good_installation_has_no_problems(tmp_path):
    assert found(Cluster(), tmp_path) == []


@pytest.mark.parametrize(
    ("cluster", "complaints"),
    [
        (Cluster(ready=503), ["is not ready: HTTP Error 503"]),
        (Cluster(served=()), ["does not serve /apis/consilia.dev/v1alpha1: HTTP Error 404"]),
        (Cluster(served=PLURALS[1:]), ["does not know federatedjobs.consilia.dev. Apply crds/"]),
        (Cluster(denied=("secrets",)), ["may not create secrets in all namespaces. Set rbac.create=true"]),
        (Cluster(denied=("jobs",), ready=503), ["is not ready", "may not patch jobs.batch in all namespaces"]),
    ],
    ids=["not ready", "no resources", "one resource less", "one right less", "two things"],
)
def test_everything_that_is_wrong_is_named_with_the_way_out(tmp_path, cluster, complaints):
    lines = found(cluster, tmp_path)
    assert len(lines) == len(complaints)
    assert all(complaint in line for complaint, line in zip(complaints, lines, strict=True))


def test_an_operator_that_cannot_be_reached_is_a_problem_and_no_crash(tmp_path):
    settings = tmp_path / "operator.json"
    settings.write_text('{"namespaces": ["hub"]}', encoding="utf-8")

    def refuse(path, body):
        raise ConnectionRefusedError(111, "Connection refused")

    lines = list(problems("http://127.0.0.1:1", settings, refuse))
    beginnings = ("the operator at http://127.0.0.1:1 is not ready", "the cluster does not serve", "cannot ask")
    assert len(lines) == len(beginnings)
    assert all(line.startswith(beginning) for line, beginning in zip(lines, beginnings, strict=True))


def test_rights_are_asked_for_where_the_operator_works(tmp_path):
    everywhere, listed = Cluster(), Cluster()
    found(everywhere, tmp_path)
    found(listed, tmp_path, ["hub", "riverside"])
    assert {each["namespace"] for each in everywhere.asked} == {""}
    count = len(every_right())
    assert [each["namespace"] for each in listed.asked] == ["hub"] * count + ["riverside"] * count


def test_a_status_is_asked_for_as_a_subresource(tmp_path):
    cluster = Cluster()
    found(cluster, tmp_path)
    statuses = [each["resource"] for each in cluster.asked if each["subresource"] == "status"]
    assert sorted(statuses) == sorted(PLURALS)


@pytest.mark.parametrize("role", RIGHTS)
def test_an_operator_of_one_role_needs_the_rights_of_that_one(tmp_path, role):
    cluster = Cluster()
    found(cluster, tmp_path, roles=[role])
    asked = {(each["verb"], each["resource"], each["subresource"]) for each in cluster.asked}
    assert len(asked) == len(RIGHTS[role]) < len(every_right())


def test_only_rights_on_what_the_operator_knows_are_asked_for():
    known = {(kind.group, kind.plural) for kind in vars(kinds).values() if isinstance(kind, Kind)}
    assert {(right.group, right.resource.partition("/")[0]) for right in every_right()} <= known
