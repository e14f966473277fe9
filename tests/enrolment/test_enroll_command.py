"""`consilia enroll`, as it is typed, against a real API server; the hub's operator is played by the test."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from bare_api_server import bare_api_server

from consilia.certificates import certify, create_authority
from consilia.enrolment.keeping import IDENTITY, LINK
from consilia.enrolment.papers import JoinBundle, JoinRequest
from consilia.wire.identity import Identity, PublicKey
from tests.cluster.components import CONTROL

pytestmark = pytest.mark.slow  # starting the API server may take long on a busy machine

CONSILIA = Path(sys.executable).with_name("consilia")
AUTHORITY = create_authority("members", lasts=timedelta(days=30))
HUB = Identity.generate("hub")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with bare_api_server(folder) as found:
        for name in ("hub", "riverside", "lakeside"):
            status, answer = found.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
            assert status == 201, answer
        yield found, folder / "kubeconfig"


class Clerk:
    """Somebody at a terminal, logged in."""

    def __init__(self, server, folder):
        (self.server, self.kubeconfig), self.folder = server, folder

    def types(self, *words, answers=""):
        path = f"{CONTROL.folder}:{os.environ['PATH']}"
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig), "PATH": path}
        command = [CONSILIA, "enroll", *map(str, words)]
        return subprocess.run(
            command, env=environment, input=answers, capture_output=True, text=True, timeout=120, check=False
        )

    def done(self, *words, answers=""):
        found = self.types(*words, answers=answers)
        assert found.returncode == 0, found.stderr
        return found

    def there(self, kind, namespace, name):
        core = "/apis/consilia.dev/v1alpha1" if kind == "hospitals" else "/api/v1"
        status, answer = self.server.ask("GET", f"{core}/namespaces/{namespace}/{kind}/{name}")
        return answer if status == 200 else None

    def secret(self, namespace, name):
        found = self.there("secrets", namespace, name)
        return {key: base64.b64decode(text) for key, text in found["data"].items()} if found else None

    def request(self, namespace="riverside"):
        path = self.folder / f"{namespace}.json"
        self.done("request", "-n", namespace, "-o", path)
        return path, JoinRequest.read(path.read_text())

    def bundle(self, asked, **changes):
        certificate = certify(AUTHORITY, asked.certificate_request.encode(), asked.hospital, lasts=timedelta(days=9))
        fields = {
            "hub": "hub",
            "hub_key": HUB.public().text(),
            "hospital": asked.hospital,
            "public_key": asked.public_key,
            "bootstrap_servers": ("kafka.example:30093",),
            "ca": AUTHORITY.certificate_pem.decode(),
            "certificate": certificate.decode(),
        }
        return JoinBundle(**{**fields, **changes}).signed_by(HUB)


@pytest.fixture
def clerk(server, tmp_path):
    return Clerk(server, tmp_path)


def test_a_request_makes_both_keys_once_and_shows_neither(clerk):
    said = clerk.done("request", "-n", "lakeside", "--display-name", "Lakeside Clinic")
    before = clerk.secret("lakeside", IDENTITY), clerk.secret("lakeside", LINK)
    assert "PRIVATE" not in said.stdout + said.stderr
    asked = JoinRequest.read(said.stdout)
    assert (asked.hospital, asked.display_name) == ("lakeside", "Lakeside Clinic")
    assert PublicKey.from_text(asked.public_key).fingerprint() in " ".join(said.stderr.split())
    again = JoinRequest.read(clerk.done("request", "-n", "lakeside").stdout)
    assert again.public_key == asked.public_key
    assert (clerk.secret("lakeside", IDENTITY), clerk.secret("lakeside", LINK)) == before
    assert asked.cluster is None or asked.cluster == again.cluster


def operator(clerk, *, status=None):
    """What the hub's operator does when it sees the Hospital."""

    def run():
        deadline = time.monotonic() + 60
        while (found := clerk.there("hospitals", "hub", "riverside")) is None and time.monotonic() < deadline:
            time.sleep(0.2)
        path = "/apis/consilia.dev/v1alpha1/namespaces/hub/hospitals/riverside/status"
        if status:
            clerk.server.ask("PUT", path, found | {"status": {"conditions": [status]}})
            return
        asked = JoinRequest(
            hospital="riverside",
            public_key=found["spec"]["publicKey"],
            certificate_request=found["spec"]["certificateRequest"],
            version="1",
        )
        metadata = {"name": "riverside-join-bundle", "namespace": "hub"}
        document = {"metadata": metadata, "data": {"bundle.json": clerk.bundle(asked).text()}}
        clerk.server.ask("POST", "/api/v1/namespaces/hub/configmaps", document)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture
def second(server, tmp_path):
    """The operator's own connection: one cannot be shared between threads."""
    import http.client

    from bare_api_server import ApiServer

    found, kubeconfig = server
    old = found.connection
    connection = http.client.HTTPSConnection(old.host, old.port, timeout=30, context=old._context)
    yield Clerk((ApiServer(connection, found.token), kubeconfig), tmp_path)
    connection.close()


def gone(clerk):
    clerk.server.ask("DELETE", "/apis/consilia.dev/v1alpha1/namespaces/hub/hospitals/riverside")
    clerk.server.ask("DELETE", "/api/v1/namespaces/hub/configmaps/riverside-join-bundle")


def test_three_commands_join_a_hospital_to_a_hub(clerk, second):
    path, asked = clerk.request()
    own = PublicKey.from_text(asked.public_key).fingerprint()
    bundle = clerk.folder / "bundle.json"
    thread = operator(second)
    words = ("admit", path, "-n", "hub", "-o", bundle, "--label", "region=north")
    said = clerk.done(*words, "--fingerprint", own.replace(" ", "").upper(), "--json")
    thread.join()
    assert json.loads(said.stdout)["fingerprint"] == HUB.public().fingerprint()
    made = clerk.there("hospitals", "hub", "riverside")
    assert made["metadata"]["labels"] == {"region": "north"}
    assert (made["spec"]["cluster"], made["spec"]["accepted"]) == ("Own", True)

    before = clerk.secret("riverside", LINK)
    refused = clerk.types("accept", bundle, "-n", "riverside", answers="n\n")
    assert refused.returncode == 1
    assert clerk.secret("riverside", LINK) == before
    clerk.done("accept", bundle, "-n", "riverside", answers="y\n")
    after = clerk.secret("riverside", LINK)
    assert JoinBundle.read(after["bundle.json"]).hub == "hub"
    assert after["user.key"] == before["user.key"]

    # Asked again, it asks for its next certificate: the one that it has stays in use.
    _, again = clerk.request()
    assert again.certificate_request != asked.certificate_request
    assert set(clerk.secret("riverside", LINK)) == {"bundle.json", "next.key", "user.key"}
    gone(clerk)


def test_a_file_that_was_exchanged_on_its_way_is_refused(clerk):
    path, _ = clerk.request()
    found = clerk.types("admit", path, "-n", "hub", "--fingerprint", HUB.public().fingerprint())
    assert found.returncode == 1
    assert "Somebody may have exchanged the file" in " ".join(found.stderr.split())
    assert clerk.there("hospitals", "hub", "riverside") is None


def test_what_the_hub_cannot_admit_says_why(clerk, second):
    path, _ = clerk.request()
    condition = {"type": "Joined", "status": "False", "reason": "AdmittedTwice", "message": "Hospital x is the same.",
                 "lastTransitionTime": "2026-11-22T00:00:00Z"}  # fmt: skip
    thread = operator(second, status=condition)
    found = clerk.types("admit", path, "-n", "hub", "--yes")
    thread.join()
    assert found.returncode == 1
    assert "riverside cannot be admitted: Hospital x is the same." in " ".join(found.stderr.split())
    gone(clerk)


def test_a_hub_without_an_operator_is_not_waited_for_for_ever(clerk):
    path, _ = clerk.request()
    found = clerk.types("admit", path, "-n", "hub", "--yes", "--timeout", "2")
    assert found.returncode == 1
    assert "the hub was not ready after 2 s" in " ".join(found.stderr.split())
    gone(clerk)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hospital": "lakeside"}, "is for another hospital, or another key"),
        ({"public_key": HUB.public().text()}, "is for another hospital, or another key"),
    ],
)
def test_a_bundle_that_is_for_another_is_not_accepted(clerk, changes, words):
    _, asked = clerk.request()
    path = clerk.folder / "bundle.json"
    path.write_text(clerk.bundle(asked, **changes).text())
    found = clerk.types("accept", path, "-n", "riverside", "--yes")
    assert found.returncode == 1
    assert words in " ".join(found.stderr.split())


def test_whoever_has_not_asked_accepts_nothing(clerk):
    path = clerk.folder / "bundle.json"
    _, asked = clerk.request()
    path.write_text(clerk.bundle(asked).text())
    found = clerk.types("accept", path, "-n", "hub", "--yes")
    assert found.returncode == 1
    assert "namespace hub has not asked to be admitted" in " ".join(found.stderr.split())


@pytest.mark.parametrize("words", [("admit", "{}", "-n", "hub"), ("accept", "{}", "-n", "riverside")])
def test_rubbish_is_named(clerk, words):
    path = clerk.folder / "rubbish.json"
    path.write_text('{"kind": "Pod"}')
    found = clerk.types(*(word.format(path) for word in words), "--yes")
    assert found.returncode == 1
    assert "this is no join" in found.stderr
