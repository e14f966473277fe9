"""Rules and users on a real cluster: what `consilia kafka` prints, adds, removes, leaves alone, and finds wrong."""

import json
import stat
import uuid
from contextlib import closing

import pytest
import typer
from api_documents import document
from kafka import KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from typer.testing import CliRunner

from consilia.errors import LogAccessError, LogError, RunError
from consilia.kafka.access import Access
from consilia.kafka.acls import AclRule, Kind, Operation, Parties, Pattern, Resource, rules
from consilia.kafka.connection import client_options, make_admin
from consilia.kafka.probe import Probe
from consilia.kafka.questions import QUESTIONS
from consilia.kafka.rights import CLUSTER, TRIED
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.users import Users
from consilia.manifest.yaml_document import write_document
from consilia.wire.identity import Identity, Roster
from consilia_workers.cli import kafka


@pytest.fixture
def consilia():
    """Runs `consilia kafka …` and gives the result; our own errors come out as such."""
    app = typer.Typer()
    app.callback()(lambda: None)
    kafka.register(app)

    def run(*arguments):
        result = CliRunner().invoke(app, ["kafka", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def unique():
    """Names that no other test has: principals and rules stay on the session's broker."""
    return uuid.uuid4().hex[:8]


@pytest.fixture
def names(unique):
    return [f"a{unique}", f"b{unique}"]


@pytest.fixture
def write_job(tmp_path, unique):
    """Writes a job file for these hospitals, with principals of its own."""

    def write(hospitals):
        sizes = {"hospitals.minReady": len(hospitals), "hospitals.minUpdates": 1}
        made = document("FederatedJob", {"hospitals.names": hospitals, **sizes})
        made["metadata"]["name"] = f"job-{unique}"
        (tmp_path / "job.yaml").write_text(write_document(made))
        return tmp_path / "job.yaml"

    return write


@pytest.fixture
def job(write_job, names):
    return write_job(names)


@pytest.fixture
def administrator(kafka_settings, tmp_path):
    """An administrator's settings file."""
    kafka_settings.save(tmp_path / "admin.json")
    return tmp_path / "admin.json"


@pytest.fixture
def admin(kafka_settings):
    with closing(make_admin(kafka_settings)) as admin:
        yield admin


@pytest.fixture
def apply(consilia, job, administrator, unique):
    """Applies the job's rules and gives what was said, as data."""

    def run(how, *more):
        principal = ("--principal", f"aggregator=User:agg-{unique}")
        arguments = (*principal, "--settings", administrator, "--apply", how, "--format", "json", *more)
        return json.loads(consilia("acls", job, *arguments).output)

    return run


def expected_rules(unique, names):
    hospitals = {name: f"User:{name}" for name in names}
    return rules(f"job-{unique}", Parties(aggregator=f"User:agg-{unique}", hospitals=hospitals))


def a_rule(principal, name, pattern=Pattern.LITERAL, kind=Kind.TOPIC):
    resource = Resource(kind=kind, name=name, pattern=pattern)
    return AclRule(principal=principal, operation=Operation.READ, resource=resource)


def test_what_is_missing_is_added_once(apply, unique, names, kafka_settings, admin):
    wanted = expected_rules(unique, names)
    first, second = apply("add"), apply("add")
    assert (first["present"], len(first["missing"])) == (0, len(wanted))
    assert (second["present"], second["missing"], second["stale"]) == (len(wanted), [], [])
    found = [each for each in Access(kafka_settings, admin).found() if unique in each.rule.principal]
    assert {each.rule for each in found} == set(wanted)
    assert all(each.plain for each in found)


def test_a_dry_run_changes_nothing(apply, unique, names):
    assert len(apply("dry-run")["missing"]) == len(apply("dry-run")["missing"]) == len(expected_rules(unique, names))


def test_pruning_takes_what_the_parties_no_longer_need_and_nothing_of_others(
    apply, unique, names, kafka_settings, admin
):
    job, own = f"job-{unique}", f"User:{names[0]}"
    stale = {
        a_rule(own, f"consilia.state.{job}"),
        a_rule(own, f"consilia.up.{names[1]}.{job}"),
        a_rule(own, f"consilia.aggregator.{job}", kind=Kind.GROUP),
        a_rule(own, "consilia.", Pattern.PREFIXED),
    }
    others = {
        a_rule(f"User:dashboard-{unique}", f"consilia.rounds.{job}"),
        a_rule(own, f"consilia.rounds.other-{unique}"),
        a_rule(own, f"consilia.rounds.x.{job}"),
        a_rule(own, f"unrelated-{unique}"),
        a_rule(own, f"unrelated-{unique}", Pattern.PREFIXED),
    }
    access = Access(kafka_settings, admin)
    access.add([*stale, *others])
    assert len(apply("add")["stale"]) == len(stale)
    pruned = apply("prune")
    assert len(pruned["stale"]) == len(stale)
    assert pruned["others"] == [f"User:dashboard-{unique} may Read Topic consilia.rounds.{job}"]
    left = {each.rule for each in access.found() if unique in each.rule.principal}
    assert left == others | set(expected_rules(unique, names))


def test_a_hospital_that_left_is_shown_for_its_rules_still_reach_the_job(apply, write_job, unique, names):
    apply("add")
    write_job(names[:1])
    assert apply("prune")["others"] == [
        f"User:{names[1]} may Read Topic consilia.model.job-{unique}",
        f"User:{names[1]} may Read Topic consilia.rounds.job-{unique}",
    ]


def test_when_a_job_is_over_what_only_it_needs_is_taken_away_from_everybody(
    apply, unique, names, kafka_settings, admin
):
    job, own = f"job-{unique}", f"User:{names[0]}"
    other_jobs = {
        a_rule(own, f"consilia.rounds.other-{unique}"),
        a_rule(own, f"consilia.rounds.x.{job}"),
        a_rule(f"User:agg-{unique}", f"consilia.up.{names[0]}.x.{job}"),
    }
    access, dashboard = Access(kafka_settings, admin), a_rule(f"User:dashboard-{unique}", f"consilia.rounds.{job}")
    access.add([*other_jobs, dashboard])
    apply("add")
    kept = {
        rule
        for rule in expected_rules(unique, names)
        if rule.resource.pattern is Pattern.PREFIXED or rule.resource.name == "consilia.retired"
    }
    assert kept
    revoked = apply("remove")["revoked"]
    assert len(revoked) == len(expected_rules(unique, names)) - len(kept) + 1
    left = {each.rule for each in access.found() if unique in each.rule.principal}
    assert left == kept | other_jobs
    assert apply("remove")["revoked"] == []


def test_people_see_what_was_added_and_what_is_left(consilia, apply, job, administrator, unique, names):
    arguments = ("--principal", f"aggregator=User:agg-{unique}", "--settings", administrator)
    said = consilia("acls", job, *arguments, "--apply", "add").output
    assert f"+ User:{names[0]} may Write Topic consilia.up.{names[0]}.*" in said
    assert f"{len(expected_rules(unique, names))} added." in said
    again = consilia("acls", job, *arguments, "--apply", "prune").output
    assert again == f"{len(expected_rules(unique, names))} there.\n"
    gone = consilia("acls", job, *arguments, "--apply", "remove").output
    assert f"- User:{names[0]} may Read Topic consilia.rounds.job-{unique}\n" in gone
    assert gone.endswith(" removed. What hospitals need for any job, they keep.\n")


def test_who_is_no_administrator_is_told_so(consilia, job, kafka_user, names, tmp_path):
    kafka_user(names[0]).save(tmp_path / "own.json")
    for how in (("acls", job, "--apply", "add"), ("users", job, "--folder", tmp_path / "users")):
        with pytest.raises(LogAccessError, match=f"user {names[0]} may not") as caught:
            consilia(*how, "--settings", tmp_path / "own.json")
        assert "super user" in caught.value.remedy


def test_a_cluster_that_keeps_no_rules_is_found_out(consilia, job, killable_broker, tmp_path, names):
    killable_broker().settings.save(tmp_path / "open.json")
    with pytest.raises(LogError, match="everybody may do everything"):
        consilia("acls", job, "--settings", tmp_path / "open.json", "--apply", "add")
    checked = consilia("check", job, "--settings", tmp_path / "open.json", "--as", names[0])
    assert checked.exit_code == 1
    assert "It has no authorizer: everybody may do everything there." in checked.output


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--apply", "add"], RunError, "needs to know the cluster"),
        (["--apply", "add", "--format", "strimzi"], RunError, "do not go together"),
        (["--principal", "nobody=User:x"], RunError, "names no party of the job"),
        (["--principal", "aggregator"], LogError, "'' is no principal"),
        (["--principal", "aggregator=User:x", "--principal", "aggregator=User:y"], RunError, "a second principal"),
        (["--principal", "aggregator=User:*"], LogError, "is no principal of one party"),
        (["--principal", "watcher=User:aggregator"], LogError, "have the same principal"),
        (["--roster", "/nowhere.json"], RunError, "cannot use the roster"),
    ],
)
def test_what_cannot_be_meant_is_refused(consilia, job, arguments, error, words):
    with pytest.raises(error, match=words):
        consilia("acls", job, *arguments)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("commands", "kafka-acls.sh --bootstrap-server kafka-1:9092,kafka-2:9092 --command-config admin.properties"),
        ("strimzi", "strimzi.io/cluster: hub"),
        ("json", '"why": "Fetches the global model."'),
    ],
)
def test_rules_are_printed_for_whoever_applies_them(consilia, job, tmp_path, form, words):
    KafkaSettings(bootstrap_servers=("kafka-1:9092", "kafka-2:9092")).save(tmp_path / "kafka.json")
    said = consilia("acls", job, "--format", form, "--settings", tmp_path / "kafka.json", "--cluster", "hub")
    assert said.exit_code == 0
    assert words in said.output


def test_a_job_that_selects_its_hospitals_needs_its_roster(consilia, tmp_path, job, names):
    selects = document("FederatedJob", {"hospitals": {"selector": {"matchLabels": {"in": "it"}}, "minReady": 1}})
    job.write_text(write_document(selects))
    with pytest.raises(RunError, match="by a selector"):
        consilia("acls", job)
    keys = [Identity.generate(name).public() for name in ("aggregator", *names)]
    roster = Roster(keys[0], dict(zip(names, keys[1:], strict=True)))
    (tmp_path / "roster.json").write_text(json.dumps(roster.as_json()))
    assert all(f"User:{name}\n" in consilia("acls", job, "--roster", tmp_path / "roster.json").output for name in names)


def test_users_get_passwords_that_only_the_files_owner_can_read(
    consilia, job, administrator, tmp_path, names, unique, kafka_user
):
    folder = tmp_path / "users"
    arguments = ("users", job, "--settings", administrator, "--folder", folder, "--json")
    principals = ("--principal", f"aggregator=User:agg-{unique}", "--principal", f"{names[1]}=User:CN={names[1]}")
    said = consilia(*arguments, *principals)
    made = json.loads(said.output)["made"]
    assert set(made) == {f"agg-{unique}", names[0]}, "who comes with a certificate needs no password"
    passwords = [path.read_text().strip() for path in folder.iterdir()]
    assert all(len(password) >= 43 and password not in said.output for password in passwords)
    assert len(set(passwords)) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert json.loads(consilia(*arguments, *principals).output)["made"] == {}
    there = kafka_user(f"reference-{unique}").model_copy(
        update={"username": names[0], "password": folder / f"{names[0]}.password"}
    )
    with closing(Probe(there)) as probe:
        assert probe.may(Operation.READ, Kind.TOPIC, "consilia.rounds.any") is False


def test_a_password_that_was_written_before_the_user_was_made_is_used(kafka_settings, admin, tmp_path, unique):
    path = tmp_path / f"u{unique}.password"
    path.write_text("from the last time\n")
    path.chmod(0o600)
    assert list(Users(kafka_settings, admin).create([f"u{unique}"], tmp_path)) == [(f"u{unique}", path)]
    assert path.read_text() == "from the last time\n"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606])
def test_a_password_that_others_could_know_is_refused(kafka_settings, admin, tmp_path, unique, mode):
    path = tmp_path / f"u{unique}.password"
    path.write_text("known to others\n")
    path.chmod(mode)
    with pytest.raises(LogError, match="not this user's alone"):
        list(Users(kafka_settings, admin).create([f"u{unique}"], tmp_path))
    assert Users(kafka_settings, admin).missing([f"u{unique}"]) == [f"u{unique}"]


@pytest.mark.parametrize("name", ["../up", "a/b", "/etc/x"])
def test_no_users_name_leads_out_of_the_folder(kafka_settings, admin, tmp_path, name):
    with pytest.raises(LogError, match="cannot name a file"):
        list(Users(kafka_settings, admin).create([name], tmp_path))


def test_a_check_passes_whom_the_rules_were_made_for_and_nobody_else(
    consilia, apply, job, kafka_user, kafka_certificate, names, unique, tmp_path
):
    apply("add")
    kafka_user(names[0]).save(tmp_path / "a.json")
    kafka_certificate(names[1]).save(tmp_path / "b.json")
    kafka_user(f"agg-{unique}").save(tmp_path / "aggregator.json")

    def check(file, party):
        return consilia("check", job, "--settings", tmp_path / file, "--as", party).exit_code

    assert [check("a.json", names[0]), check("b.json", names[1]), check("aggregator.json", "aggregator")] == [0, 0, 0]
    assert [check("a.json", names[1]), check("a.json", "aggregator"), check("aggregator.json", names[0])] == [1, 1, 1]


def test_a_check_names_every_right_that_is_missing_or_too_many(
    consilia, apply, job, kafka_settings, admin, kafka_user, names, tmp_path, unique
):
    apply("add")
    access, user = Access(kafka_settings, admin), f"User:{names[0]}"
    access.add([a_rule(user, f"consilia.up.{names[0]}", Pattern.PREFIXED)])
    access.remove(
        [each for each in expected_rules(unique, names) if each.principal == user and "model" in each.resource.name]
    )
    kafka_user(names[0]).save(tmp_path / "a.json")
    arguments = ("check", job, "--settings", tmp_path / "a.json", "--as", names[0])
    said = consilia(*arguments).output
    assert f"wrong  Topic consilia.model.job-{unique}: may nothing; needs Describe, Read" in said
    assert f"consilia.up.{names[0]}-consilia-check.job-{unique}: may Describe, Read; must not Describe, Read" in said
    data = json.loads(consilia(*arguments, "--json").output)
    assert data["passed"] is False
    wrong = [each for each in data["rights"] if each["may"] != each["wanted"]]
    assert len(wrong) == 5, "two missing, two on a name that begins alike, one on its own uploads"


def test_a_check_without_a_job_tries_the_way_and_the_login(consilia, kafka_user, names, tmp_path):
    settings = kafka_user(names[0])
    settings.save(tmp_path / "a.json")
    done = consilia("check", "--settings", tmp_path / "a.json")
    assert done.exit_code == 0
    assert f"at {settings.where} answers user {names[0]}." in done.output
    (tmp_path / "wrong").write_text("wrong")
    settings.model_copy(update={"password": tmp_path / "wrong"}).save(tmp_path / "a.json")
    with pytest.raises(LogAccessError, match="there is no such user, or the password is wrong"):
        consilia("check", "--settings", tmp_path / "a.json")


def test_a_check_for_nobody_says_who_is_there(consilia, job, administrator, names):
    with pytest.raises(LogError, match="nobody has no part in the job") as caught:
        consilia("check", job, "--settings", administrator, "--as", "nobody")
    assert caught.value.remedy == f"Name one of: aggregator, {', '.join(names)}."


@pytest.mark.parametrize("more", [["--as", "a"], ["job"]])
def test_a_check_wants_job_and_party_together(consilia, job, administrator, more):
    with pytest.raises(RunError, match="go together"):
        consilia("check", "--settings", administrator, *[job if word == "job" else word for word in more])


def test_every_question_tells_who_may_from_who_may_not(kafka_settings, kafka_user, unique):
    """A super user may all of it, a stranger nothing: no question is answered by something else than the right."""
    thing = {kind: CLUSTER if kind is Kind.CLUSTER else f"thing-{unique}" for kind in Kind}
    asked = [(operation, kind, thing[kind]) for kind in Kind for operation in TRIED[kind]]
    assert {(operation, kind) for operation, kind, _ in asked} == {
        (operation, kind) for kind, questions in QUESTIONS.items() for operation in questions
    }
    with closing(Probe(kafka_settings)) as owner, closing(Probe(kafka_user(f"stranger-{unique}"))) as stranger:
        assert [each for each in asked if not owner.may(*each)] == []
        assert [each for each in asked if stranger.may(*each)] == []


def test_asking_changes_nothing(kafka_settings, admin, unique):
    topic = f"asked-{unique}"
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    admin.wait_for_topics([topic])
    with closing(KafkaProducer(**client_options(kafka_settings))) as producer:
        producer.send(topic, b"kept", partition=0).get(5)

    def state():
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        ends = [admin.list_partition_offsets({TopicPartition(topic, 0): end}) for end in OffsetSpec]
        return sorted(admin.list_topics()), admin.describe_topics([topic]), admin.describe_configs([resource]), ends

    before = state()
    with closing(Probe(kafka_settings)) as owner:
        assert all(owner.may(operation, Kind.TOPIC, topic) for operation in TRIED[Kind.TOPIC])
        for kind in (Kind.GROUP, Kind.TRANSACTIONAL_ID):
            assert all(owner.may(operation, kind, topic) for operation in TRIED[kind])
    assert state() == before
    assert topic not in str((admin.list_groups(), admin.list_transactions()))
