"""`consilia enroll expel` and `leave`, as they are typed, against a real API server."""

import json
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from api_documents import document
from bare_api_server import bare_api_server

from consilia.certificates import certify, create_authority, new_key, request_certificate
from consilia.enrolment.keeping import LINK, key_pem, secret
from consilia.enrolment.papers import JoinBundle
from consilia.wire.identity import Identity
from tests.cluster.components import CONTROL

pytestmark = pytest.mark.slow  # starting the API server may take long on a busy machine

CONSILIA = Path(sys.executable).with_name("consilia")
HUB, OWN = Identity.generate("hub"), Identity.generate("riverside")
GROUP = "/apis/consilia.dev/v1alpha1/namespaces"
HOSPITAL = f"{GROUP}/hub/hospitals/riverside"
TASKS = f"{GROUP}/riverside/hospitaltasks"


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with bare_api_server(folder) as found:
        for name in ("hub", "riverside"):
            status, answer = found.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
            assert status == 201, answer
        yield found, folder / "kubeconfig"


@pytest.fixture
def server(kubeconfig):
    return kubeconfig[0]


@pytest.fixture
def types(kubeconfig):
    """Somebody at a terminal, logged in."""
    path = f"{CONTROL.folder}:{os.environ['PATH']}"
    environment = os.environ | {"KUBECONFIG": str(kubeconfig[1]), "PATH": path}

    def run(*words, answers=""):
        command = [CONSILIA, "enroll", *words]
        return subprocess.run(
            command, env=environment, input=answers, capture_output=True, text=True, timeout=120, check=False
        )

    return run


def create(server, path, body):
    status, answer = server.ask("POST", path, body)
    assert status == 201, answer
    return answer


@pytest.fixture
def admitted(server):
    spec = {"accepted": True, ".metadata.name": "riverside"}
    made = document("Hospital", spec)
    made["metadata"] = {"name": "riverside"}
    create(server, f"{GROUP}/hub/hospitals", made)
    yield
    server.ask("DELETE", HOSPITAL)


def operator(server, reason, *, observed=0):
    """What the hub's operator says of the Hospital, for its generation plus `observed`."""
    _, found = server.ask("GET", HOSPITAL)
    condition = {"type": "Joined", "status": "False", "reason": reason, "message": "Kafka does not answer.",
                 "lastTransitionTime": "2026-11-22T00:00:00Z"}  # fmt: skip
    status = {"observedGeneration": found["metadata"]["generation"] + observed, "conditions": [condition]}
    assert server.ask("PUT", f"{HOSPITAL}/status", found | {"status": status})[0] == 200


def test_who_is_expelled_is_so_when_the_command_returns(types, server, admitted):
    operator(server, "NotAccepted", observed=-1)  # of an earlier time that it was expelled: that does not count
    ended = []
    thread = threading.Thread(target=lambda: ended.append(types("expel", "riverside", "-n", "hub", "--yes", "--json")))
    thread.start()
    deadline = time.monotonic() + 60
    while server.ask("GET", HOSPITAL)[1]["spec"]["accepted"] and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1.5)
    assert not ended
    operator(server, "NotAccepted")
    thread.join(60)
    assert json.loads(ended[0].stdout) == {"hospital": "riverside", "hub": "hub", "expelled": True}


def test_nobody_is_told_that_it_is_done_when_the_operator_does_not_say_so(types, server, admitted):
    operator(server, "KafkaUnavailable", observed=1)
    found = types("expel", "riverside", "-n", "hub", "--yes", "--timeout", "1")
    assert found.returncode == 1
    assert "riverside may still use the log" in " ".join(found.stderr.split())
    assert "Kafka does not answer." in found.stderr


def test_nobody_is_expelled_without_being_asked_for(types, server, admitted):
    assert types("expel", "riverside", "-n", "hub", answers="n\n").returncode == 1
    assert server.ask("GET", HOSPITAL)[1]["spec"]["accepted"] is True
    assert "there is no Hospital hub/lakeside" in types("expel", "lakeside", "-n", "hub").stderr


@pytest.fixture
def follows(server):
    """A hospital that follows a hub, with one task of it and one of another's."""
    authority, key = create_authority("members", lasts=timedelta(days=30)), new_key()
    certificate = certify(authority, request_certificate(key, "riverside"), "riverside", lasts=timedelta(days=1))
    bundle = JoinBundle(
        hub="hub", hub_key=HUB.public().text(), hospital="riverside", public_key=OWN.public().text(),
        bootstrap_servers=("kafka.example:30093",), ca=authority.certificate_pem.decode(),
        certificate=certificate.decode(),
    ).signed_by(HUB)  # fmt: skip
    files = {"bundle.json": bundle.text().encode(), "user.key": key_pem(key)}
    create(server, "/api/v1/namespaces/riverside/secrets", secret("riverside", LINK, files))
    for name, hub in (("ours", "hub"), ("others", "another")):
        task = document("HospitalTask", {".metadata.name": name})
        task["metadata"] = {"name": name, "labels": {"consilia.dev/hub": hub}}
        create(server, TASKS, task)
    yield
    server.ask("DELETE", f"/api/v1/namespaces/riverside/secrets/{LINK}")
    server.ask("DELETE", TASKS)


def tasks(server):
    return [each["metadata"]["name"] for each in server.ask("GET", TASKS)[1]["items"]]


def test_who_leaves_has_no_way_to_the_hub_and_none_of_its_tasks(types, server, follows):
    found = types("leave", "-n", "riverside", "--yes", "--json")
    assert json.loads(found.stdout) == {"hospital": "riverside", "hub": "hub", "ended": ["ours"]}
    assert server.ask("GET", f"/api/v1/namespaces/riverside/secrets/{LINK}")[0] == 404
    assert tasks(server) == ["others"]
    again = types("leave", "-n", "riverside", "--yes")
    assert again.returncode == 1
    assert "follows no hub" in again.stderr


def test_nobody_leaves_by_mistake(types, server, follows):
    found = types("leave", "-n", "riverside", answers="n\n")
    assert found.returncode == 1
    assert "part of 1 job ends at once" in " ".join(found.stderr.split())
    assert sorted(tasks(server)) == ["others", "ours"]
