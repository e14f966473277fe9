"""Hub and hospital over one log: what a job wants arrives, what comes of it is told, whoever is started again."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from time import time

import pytest
from api_documents import document
from hospital_in_memory import NAME, SETTINGS, ApiServerOfHospital
from hub_by_hand import AUTHORITY, HUB, KEY, hub_and_riverside
from prometheus_client import CollectorRegistry
from transport_in_memory import TransportInMemory

from consilia.certificates import certify, new_key, request_certificate
from consilia.enrolment.keeping import LINK, identity_files
from consilia.log import topics
from consilia.progress import TrainerProgress
from consilia.wire.correspondence import Handout
from consilia.wire.identity import Identity
from consilia_operator import hospitals, kinds, ledgers
from consilia_operator.applying import Applying
from consilia_operator.conditions import condition
from consilia_operator.context import Context
from consilia_operator.correspondence.hub import Correspondent, fallen_silent, members
from consilia_operator.correspondence.link import read
from consilia_operator.correspondence.mailbox import Clerk, Mailbox
from consilia_operator.correspondence.standing import Wanted
from consilia_operator.errors import ApiRefused
from consilia_operator.manifests.aggregator import encoded
from consilia_operator.manifests.identity import new_hub_identity
from consilia_operator.manifests.offer import log_secret
from consilia_operator.metrics import Metrics
from consilia_operator.progress_watch import ProgressWatch
from consilia_operator.store import Key, Store
from consilia_operator.work_queue import WorkQueue

JOB = {"task": {"entrypoint": "package.module:Task"}, "dataset": "patients"}


class Hub:
    """The hub's operator as far as it corresponds; its Kubernetes is a dictionary, the log is real."""

    def __init__(self, both):
        self.both, self.api, self.clerk, self.uids = both, ApiServerOfHospital(), Clerk(), {}
        key = both.riverside.identity.public().text()
        asked = request_certificate(KEY, NAME).decode()
        spec = {"accepted": True, "cluster": "Own", "publicKey": key, "certificateRequest": asked}
        self.admitted(NAME, spec)
        secret = new_hub_identity(HUB)
        self.api.put(secret | {"data": encoded(identity_files(both.identity))})
        self.restart()

    def admitted(self, name, spec):
        made = document("Hospital", {**spec, ".metadata.name": name})
        made["metadata"] |= {"namespace": HUB, "creationTimestamp": f"2026-11-2{len(self.api.every())}T00:00:00Z"}
        return self.api.put(made)

    def restart(self):
        store = Store()
        applying, self.registry = Applying(self.api, store), CollectorRegistry()
        self.context = Context(
            settings=SETTINGS, namespace="consilia", api=self.api, store=store, queue=WorkQueue(), applying=applying,
            progress=ProgressWatch(None, print), transport=TransportInMemory(), metrics=Metrics(self.registry),
            ledgers=ledgers.Ledgers(
                api=self.api, applying=applying, settings=SETTINGS, operator_namespace="consilia"
            ),
        )  # fmt: skip
        self.correspondent = None

    def sync(self):
        for kind in (kinds.HOSPITAL, kinds.FEDERATED_JOB):
            found = [each for each in self.api.every() if each["kind"] == kind.kind]
            self.context.store.replace(kind, None, found, str(next(self.api._numbers)))

    def has(self, *names):
        """These jobs, and no other."""
        there = {each["metadata"]["name"] for each in self.api.every() if each["kind"] == "FederatedJob"}
        for name in there - set(names):
            self.api.gone(kinds.FEDERATED_JOB, HUB, name)
        for name in sorted(set(names) - there):
            self.uids[name] = self.api.put(self.both.job(JOB, name))["metadata"]["uid"]
        self.sync()

    def offer(self, name, *, suspend=False):
        job = self.both.job(JOB, name)
        job["metadata"]["uid"] = self.uids[name]
        wanted = Wanted(job=job, roster=self.both.roster().as_json(), suspend=suspend)
        self.context.desks.offer(HUB, NAME, self.uids[name], wanted)

    def turn(self):
        asyncio.run(self._turn())
        return self

    async def _turn(self):
        self.sync()
        if self.correspondent is None:
            log = self.both.open
            mailbox = await self.clerk.have(lambda: Mailbox(log(), topics.HUB, self.both.identity))
            self.correspondent = Correspondent(self.context, HUB, self.both.identity, mailbox, self.clerk)
        await self.correspondent.listen(0)
        await self.correspondent.write()

    def both_turn(self):
        """The hub writes, the hospital answers, the hub reads."""
        self.turn()
        self.both.turn()
        self.turn()

    def task(self, name):
        return self.context.desks.tasks(HUB, self.uids[name])[NAME]

    def says(self, name, of_type):
        found = condition(self.task(name)["status"].get("conditions", ()), of_type)
        return (found["status"], found["reason"]) if found else None

    def available(self, name=NAME):
        """What Prometheus would be told."""
        return self.registry.get_sample_value("consilia_hospital_available", {"namespace": HUB, "hospital": name})

    def look(self, name=NAME):
        self.sync()
        asyncio.run(hospitals.reconcile(self.context, Key(kinds.HOSPITAL, HUB, name)))
        return self.api.there(kinds.HOSPITAL, HUB, name)["status"]


@pytest.fixture
def hub(tmp_path):
    with hub_and_riverside(tmp_path) as both:
        found = Hub(both)
        yield found
        found.clerk.dismiss()


def test_what_a_job_wants_arrives_and_what_came_of_it_comes_back(hub):
    hub.has("study")
    hub.offer("study")
    hub.both_turn()
    assert hub.both.trainer()
    assert hub.says("study", "Approved") == ("True", "ApprovedByRule")
    assert hub.task("study")["status"]["state"]


def test_what_was_said_once_is_not_said_again(hub):
    hub.has("study")
    hub.offer("study")
    for _ in range(3):
        hub.both_turn()
    assert len(hub.both.records()) == 1


def test_a_hub_that_was_started_again_knows_what_it_said_and_what_it_was_told(hub):
    hub.has("study")
    hub.offer("study")
    hub.both_turn()
    hub.restart()
    hub.sync()
    hub.offer("study")
    hub.turn()
    assert len(hub.both.records()) == 1
    assert hub.says("study", "Approved") == ("True", "ApprovedByRule")


def test_a_suspended_job_is_suspended_there_also_by_a_hub_that_was_started_again(hub):
    hub.has("study")
    hub.offer("study")
    hub.both_turn()
    hub.restart()
    hub.turn()
    hub.context.desks.suspend(HUB, hub.uids["study"])
    hub.both_turn()
    assert hub.both.trainer() is None
    assert hub.both.task()["spec"]["suspend"] is True


def test_a_job_that_was_deleted_is_recalled_also_by_a_hub_that_was_away_then(hub):
    hub.has("study", "other")
    hub.offer("study")
    hub.offer("other")
    hub.both_turn()
    hub.has("other")
    hub.restart()
    hub.both_turn()
    assert hub.both.task("study") is None
    assert hub.both.task("other")


def test_a_hospital_that_was_away_reads_on(hub):
    hub.has("first", "second")
    hub.offer("first")
    hub.turn()
    hub.offer("second")
    hub.turn()
    hub.has("second")
    hub.turn()
    hub.both.turn()
    assert hub.both.task("first") is None
    assert hub.both.trainer("second")


def test_the_hub_sees_a_hospital_come_and_fall_silent(hub, monkeypatch):
    assert condition(hub.look()["conditions"], "Joined")["reason"] == "BundleReady"
    hub.both_turn()
    status = hub.look()
    assert {each["type"]: each["status"] for each in status["conditions"]} == {"Joined": "True", "Available": "True"}
    assert status["datasets"] == [{"name": "patients", "unit": "Record"}]
    assert status["gpus"] == [{"product": "NVIDIA-H100", "count": 4}]
    assert status["operatorVersion"]
    monkeypatch.setattr("consilia_operator.correspondence.hub.time", lambda: time() + 3600)
    assert hub.available() == 1
    assert condition(hub.look()["conditions"], "Available")["reason"] == "Silent"
    assert hub.available() == 0
    assert condition(hub.look()["conditions"], "Joined")["status"] == "True"


def drained(queue):
    """What waits to be looked at, and nothing of it waits any more."""
    found = set(queue._waiting)
    while len(queue):
        queue.done(asyncio.run(queue.take()))
    return {(each.kind.kind, each.name) for each in found}


def test_a_heartbeat_alone_wakes_nobody(hub):
    hub.has("study")
    hub.offer("study")
    hub.both_turn()
    assert drained(hub.context.queue) == {("Hospital", NAME), ("FederatedJob", "study")}
    before = hub.context.desks.report(HUB, NAME)[0]
    hub.both_turn()
    assert hub.context.desks.report(HUB, NAME)[0].serial > before.serial
    assert drained(hub.context.queue) == set()


def test_a_round_more_is_no_news_for_the_job(hub):
    """Its aggregator tells the hub of rounds, at once and of all hospitals together."""
    hub.has("study")
    hub.offer("study")
    hub.both_turn()
    drained(hub.context.queue)
    key = Key(kinds.HOSPITAL_TASK, NAME, hub.both.task()["metadata"]["name"])
    told = TrainerProgress(job="study", hospital=NAME, version=1, state="Training", round=7)
    hub.both.riverside.context.progress._heard[key] = told
    hub.both_turn()
    assert hub.task("study")["status"]["round"] == 7
    assert drained(hub.context.queue) == set()


def test_a_hospital_that_tells_something_else_or_comes_back_is_looked_at(hub):
    hub.both_turn()
    drained(hub.context.queue)
    hub.both.riverside.apply({".spec.unit": "Patient"}, name="others")
    hub.both_turn()
    assert drained(hub.context.queue) == {("Hospital", NAME)}
    hub.context.desks.of(HUB).heard_at[NAME] -= 3600
    hub.both_turn()
    assert drained(hub.context.queue) == {("Hospital", NAME)}


def test_one_that_has_fallen_silent_is_found_once(hub):
    hub.both_turn()
    hub.look()
    hub.sync()
    assert list(fallen_silent(hub.context, members(hub.context))) == []
    hub.context.desks.of(HUB).heard_at[NAME] -= 3600
    assert [each["metadata"]["name"] for each in fallen_silent(hub.context, members(hub.context))] == [NAME]
    hub.look()
    hub.sync()
    assert list(fallen_silent(hub.context, members(hub.context))) == []


def test_a_look_at_a_hospital_that_is_well_asks_the_api_server_nothing(hub):
    hub.both_turn()
    hub.look()
    before = len(hub.api.calls)
    hub.look()
    assert hub.api.calls[before:] == []


def test_what_was_said_to_many_hospitals_is_read_without_waiting_for_each(hub, monkeypatch):
    waits = []
    wait = type(hub.both.log).wait
    monkeypatch.setattr(type(hub.both.log), "wait", lambda *given: waits.append(given[1]) or wait(*given))
    for number in range(20):
        key = Identity.generate("x").public().text()
        spec = {"accepted": True, "cluster": "Own", "publicKey": key, "certificateRequest": "none"}
        made = document("Hospital", {**spec, ".metadata.name": f"h-{number}"})
        made["metadata"] |= {"namespace": HUB}
        hub.api.put(made)
    hub.turn()
    assert [len(each) for each in waits] == [21, 21]  # once for what was said, once for what is told


def test_one_hospital_is_not_admitted_under_two_names(hub):
    spec = hub.api.there(kinds.HOSPITAL, HUB, NAME)["spec"]
    asked = request_certificate(KEY, "lakeside").decode()
    hub.admitted("lakeside", spec | {"certificateRequest": asked})
    hub.admitted("seaside", spec | {"publicKey": Identity.generate("x").public().text(), "certificateRequest": asked})
    assert condition(hub.look("lakeside")["conditions"], "Joined")["reason"] == "AdmittedTwice"
    assert condition(hub.look("seaside")["conditions"], "Joined")["reason"] == "RequestRefused"
    assert condition(hub.look()["conditions"], "Joined")["reason"] == "BundleReady"


def test_what_the_api_server_refuses_is_told(hub):
    hub.context.transport.refusal = ApiRefused(403, "may not get kafkas")
    said = condition(hub.look()["conditions"], "Joined")
    assert (said["status"], said["reason"]) == ("False", "Refused")
    assert "may not get kafkas" in said["message"]


def test_a_hospital_that_is_deleted_keeps_no_rights(hub):
    hub.look()
    hub.api.gone(kinds.HOSPITAL, HUB, NAME)
    for _ in range(2):
        hub.sync()
        asyncio.run(hospitals.reconcile(hub.context, Key(kinds.HOSPITAL, HUB, NAME)))
    assert hub.context.transport.expelled == [(HUB, NAME)]


def test_who_is_no_member_any_more_is_expelled_and_not_written_to(hub):
    hub.has("study")
    hub.offer("study")
    hub.both_turn()
    there = hub.api.there(kinds.HOSPITAL, HUB, NAME)
    hub.api.put(there | {"spec": there["spec"] | {"accepted": False}})
    assert condition(hub.look()["conditions"], "Joined")["reason"] == "NotAccepted"
    assert hub.context.transport.expelled == [(HUB, NAME)]
    hub.offer("study", suspend=True)
    hub.turn()
    assert len(hub.both.records()) == 1
    assert hub.available() is None, "nobody is to be alarmed"


def test_a_report_that_somebody_sends_again_is_not_news(hub):
    hub.both_turn()
    hub.both.turn()
    hub.turn()
    (old, *_), newest = hub.both.reports(), hub.context.desks.report(HUB, NAME)[0]
    hub.both.put_report(bytes(old.value), dict(old.headers))
    hub.turn()
    assert hub.context.desks.report(HUB, NAME)[0] == newest


def test_a_certificate_that_ends_soon_is_replaced_and_its_key_never_travels(hub, monkeypatch):
    """As whole days go by: the hospital asks, the hub signs and hands out, trainers find the new one."""
    hub.has("study")
    hub.offer("study")
    hub.both_turn()
    before = hub.both.link
    monkeypatch.setattr("consilia_operator.correspondence.agent.now", lambda: datetime.now(UTC) + timedelta(hours=20))
    hub.both_turn()
    hub.look()  # the hospital's request is taken over
    hub.look()  # the certificate is issued
    hub.turn()
    hub.both.turn()
    secret = hub.both.riverside.there(kinds.SECRET, LINK)
    after = read({name: base64.b64decode(text) for name, text in secret["data"].items()}, before.identity)
    assert after.certificate.public_key() != before.certificate.public_key()
    assert hub.both.agent.handed_out
    written = b"".join(bytes(each.value) for each in (*hub.both.records(), *hub.both.reports()))
    assert b"PRIVATE" not in written
    hub.both.link = after
    hub.both.restart_operator().turn()
    paper = hub.both.riverside.there(kinds.SECRET, log_secret(hub.both.task()["metadata"]["name"]))
    assert base64.b64decode(paper["data"]["user.crt"]) == after.log["user.crt"]
    assert hub.both.trainer()


def test_a_way_to_the_log_that_is_for_a_key_that_is_not_there_is_not_taken(hub):
    before = hub.both.riverside.there(kinds.SECRET, LINK)
    strange = certify(AUTHORITY, request_certificate(new_key(), NAME), NAME, lasts=timedelta(days=1)).decode()
    for bundle in (
        hub.both.bundle(certificate=strange),
        hub.both.bundle(hospital="lakeside"),
        hub.both.bundle(hub="x"),
    ):
        hub.both.serial += 1
        fields = bundle.model_dump(mode="json", by_alias=True, exclude_none=True)
        letter = Handout(hub=HUB, hospital=NAME, serial=hub.both.serial, issued=time(), bundle=fields)
        hub.both.post(letter)
    assert hub.both.report().refused == {"Malformed": 3}
    assert hub.both.riverside.there(kinds.SECRET, LINK) == before
