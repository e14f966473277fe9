"""Hub and hospital one minor version apart, each in a process of its own version, over one real log, both ways."""

from contextlib import ExitStack

import pytest
from hub_and_hospital_apart import OTHER, PRIVATE, Pair
from two_versions import NEW, OLD

from consilia.kafka.settings import KafkaSettings
from consilia.log.opening import kafka_url, sqlite_url


def kafka(folder, request):
    """A broker of this pair's own."""
    from kafka_brokers import brokers_to_kill

    broker = request.getfixturevalue("kafka_runtime")
    with brokers_to_kill(folder, broker) as make:
        settings = make().settings
        assert isinstance(settings, KafkaSettings)
        (folder / "kafka.json").write_text(settings.model_dump_json(by_alias=True, exclude_none=True))
        yield kafka_url(folder / "kafka.json")


def sqlite(folder, request):
    yield sqlite_url(folder / "log")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((hub, hospital, log), id=f"hub-{hub}-hospital-{hospital}-{log.__name__}", marks=marks)
        for log, marks in ((sqlite, ()), (kafka, pytest.mark.slow))
        for hub, hospital in ((OLD, NEW), (NEW, OLD))
    ],
)
def pair(request, builds, tmp_path_factory):
    hub, hospital, log = request.param
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        for url in log(folder, request):
            found = Pair(
                hub=stack.enter_context(builds[hub].party(folder / "hub", "hub", url, folder)),
                hospital=stack.enter_context(
                    builds[hospital].party(folder / "hospital", "hospital", url, folder / "hospital")
                ),
            )
            found.join()
            yield found


@pytest.fixture(autouse=True)
def nothing_was_refused(pair):
    yield
    assert pair.hospital.refused() == []
    assert pair.hub.refused() == 0


def test_a_hospital_joins(pair):
    status = pair.hub.hospital()
    assert {each["type"]: each["status"] for each in status["conditions"]} == {"Joined": "True", "Available": "True"}
    assert status["operatorVersion"].startswith(f"{pair.hospital.build.version}.")
    assert {each["name"] for each in status["datasets"]} == {"patients", "pictures"}


def test_an_offer_is_approved_by_the_hospitals_rule(pair):
    pair.offer("ruled")
    assert pair.told("ruled")["Approved"] == ("True", "ApprovedByRule")
    assert pair.hospital.task(job="ruled")["trainer"]


def test_a_person_approves_and_another_denies_and_the_hub_is_told_why(pair):
    pair.offer("wanted", task=OTHER)
    pair.offer("unwanted", task=OTHER)
    assert pair.told("wanted")["Approved"][0] == "False"
    assert not pair.hospital.task(job="wanted")["trainer"]
    pair.hospital.decide(job="wanted", decision="Approved")
    pair.hospital.decide(job="unwanted", decision="Denied", message="not without the ethics committee")
    pair.both_turn()
    assert pair.told("wanted")["Approved"][0] == "True"
    assert pair.hospital.task(job="wanted")["trainer"]
    denied = pair.hub.sees(name="unwanted")["part"]["status"]
    assert denied["state"] == "Denied"
    assert "not without the ethics committee" in str(denied["conditions"])


def test_a_job_is_suspended_and_resumed(pair):
    pair.offer("paused")
    pair.hub.apply(name="paused", spec={"runPolicy": {"suspend": True}})
    pair.both_turn()
    assert pair.told("paused")["Training"] == ("False", "Suspended")
    assert not pair.hospital.task(job="paused")["trainer"]
    pair.hub.apply(name="paused", spec={"runPolicy": {"suspend": False}})
    pair.both_turn()
    assert pair.hospital.task(job="paused")["trainer"]


def test_the_hub_is_told_the_round_the_epsilon_and_where_the_ledger_ends(pair):
    pair.offer("private", dataset="patients", **PRIVATE)
    assert pair.told("private")["Admitted"][0] == "True"
    before = pair.hub.hospital()["ledger"]["entries"]
    for number in (1, 2):
        pair.hospital.train(job="private", round=number)
        pair.both_turn()
    status = pair.hub.sees(name="private")["part"]["status"]
    assert status["round"] == 2
    assert 0 < float(status["epsilonSpent"]) < 2
    assert float(status["epsilonReserved"]) > 0
    assert pair.hub.hospital()["ledger"]["entries"] > before
    assert pair.told("private")["Training"] == ("True", "TrainerRunning")


def test_a_certificate_is_renewed_by_letter(pair):
    before = pair.hospital.certificate()
    pair.hospital.later(days=300)
    pair.both_turn()  # it asks; the hub hears it, and has the next one made
    pair.both_turn()
    assert pair.hospital.certificate() != before
    pair.hospital.later(days=0)
    pair.offer("afterwards")
    assert pair.told("afterwards")["Approved"] == ("True", "ApprovedByRule")


def test_a_deleted_job_is_recalled(pair):
    pair.offer("short")
    pair.hub.delete(name="short")
    pair.both_turn()
    assert pair.hospital.task(job="short") is None


def test_both_go_on_after_a_restart_with_what_the_other_version_wrote(pair):
    pair.offer("lasting")
    pair.hub.restart()
    pair.hospital.restart()
    pair.both_turn()
    assert pair.told("lasting")["Approved"] == ("True", "ApprovedByRule")
    assert pair.hospital.task(job="lasting")["trainer"]
