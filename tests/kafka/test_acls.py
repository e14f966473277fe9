"""What each party may do, as rules: pure."""

import json

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from consilia.errors import LogError
from consilia.kafka.acl_formats import as_commands, as_data, as_strimzi
from consilia.kafka.acls import Kind, Operation, Parties, Pattern, allowed, rules
from consilia.log import topics

Op, K = Operation, Kind
JOB = "heart.0a1b2c3d"
PARTIES = Parties(
    aggregator="User:aggregator",
    hospitals={"a": "User:a", "ab": "User:ab", "a-b": "User:CN=a-b"},
    watchers=("User:grafana",),
)
RULES = rules(JOB, PARTIES)

names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda name: name != "aggregator")
jobs = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?(\.[0-9a-f]{8})?", fullmatch=True)


def parties(*hospitals):
    return Parties(aggregator="User:the-aggregator!", hospitals={name: f"User:{name}" for name in hospitals})


@pytest.mark.parametrize(
    ("principal", "operation", "kind", "name", "may"),
    [
        ("User:a", Op.WRITE, K.TOPIC, f"consilia.up.a.{JOB}", True),
        ("User:a", Op.DESCRIBE, K.TOPIC, f"consilia.up.a.{JOB}", True),
        ("User:a", Op.READ, K.TOPIC, f"consilia.up.a.{JOB}", False),
        ("User:a", Op.CREATE, K.TOPIC, f"consilia.up.a.{JOB}", False),
        ("User:a", Op.DELETE, K.TOPIC, f"consilia.up.a.{JOB}", False),
        ("User:a", Op.WRITE, K.TOPIC, f"consilia.up.ab.{JOB}", False),
        ("User:a", Op.WRITE, K.TOPIC, f"consilia.up.a-b.{JOB}", False),
        ("User:a", Op.DESCRIBE, K.TOPIC, f"consilia.up.ab.{JOB}", False),
        ("User:CN=a-b", Op.WRITE, K.TOPIC, f"consilia.up.a-b.{JOB}", True),
        ("User:CN=a-b", Op.WRITE, K.TOPIC, f"consilia.up.a.{JOB}", False),
        ("User:a", Op.READ, K.TOPIC, f"consilia.rounds.{JOB}", True),
        ("User:a", Op.READ, K.TOPIC, f"consilia.model.{JOB}", True),
        ("User:a", Op.READ, K.TOPIC, f"consilia.state.{JOB}", False),
        ("User:a", Op.READ, K.TOPIC, "consilia.rounds.heart", False),
        ("User:a", Op.WRITE, K.TOPIC, f"consilia.rounds.{JOB}", False),
        ("User:a", Op.WRITE, K.TRANSACTIONAL_ID, f"consilia.trainer.a.{JOB}", True),
        ("User:a", Op.WRITE, K.TRANSACTIONAL_ID, f"consilia.trainer.ab.{JOB}", False),
        ("User:a", Op.WRITE, K.TRANSACTIONAL_ID, f"consilia.aggregator.{JOB}", False),
        ("User:a", Op.READ, K.GROUP, f"consilia.aggregator.{JOB}", False),
        ("User:aggregator", Op.READ, K.TOPIC, f"consilia.up.a.{JOB}", True),
        ("User:aggregator", Op.DELETE, K.TOPIC, f"consilia.up.a.{JOB}", True),
        ("User:aggregator", Op.WRITE, K.TOPIC, f"consilia.up.a.{JOB}", False),
        ("User:aggregator", Op.READ, K.TOPIC, "consilia.up.a.other", False),
        ("User:aggregator", Op.READ, K.TOPIC, f"consilia.up.stranger.{JOB}", False),
        ("User:aggregator", Op.WRITE, K.TOPIC, f"consilia.model.{JOB}", True),
        ("User:aggregator", Op.ALTER_CONFIGS, K.TOPIC, f"consilia.model.{JOB}", False),
        ("User:aggregator", Op.READ, K.GROUP, f"consilia.aggregator.{JOB}", True),
        ("User:aggregator", Op.READ, K.GROUP, "consilia.aggregator.heart", False),
        ("User:aggregator", Op.WRITE, K.TRANSACTIONAL_ID, f"consilia.aggregator.{JOB}", True),
        ("User:aggregator", Op.WRITE, K.TOPIC, "consilia.retired", True),
        ("User:aggregator", Op.DELETE, K.TOPIC, "consilia.retired", False),
        ("User:a", Op.READ, K.TOPIC, "consilia.retired", False),
        ("User:grafana", Op.READ, K.TOPIC, f"consilia.rounds.{JOB}", True),
        ("User:grafana", Op.READ, K.TOPIC, f"consilia.model.{JOB}", False),
        ("User:stranger", Op.READ, K.TOPIC, f"consilia.rounds.{JOB}", False),
    ],
)
def test_everybody_may_do_what_its_program_does_and_nothing_else(principal, operation, kind, name, may):
    assert allowed(RULES, principal, operation, kind, name) is may


@given(one=names, other=names, job=jobs)
def test_no_rule_of_one_hospital_touches_anything_of_another(one, other, job):
    assume(one != other)
    made = rules(job, parties(one, other))
    others = ((K.TOPIC, topics.up(other, job)), (K.TRANSACTIONAL_ID, topics.trainer(other, job)))
    own = [rule for rule in made if rule.principal == f"User:{one}"]
    assert own
    assert not [rule for rule in own for kind, name in others if rule.resource.covers(kind, name)]


@given(hospital=names, job=jobs)
def test_no_hospital_writes_where_the_aggregator_does(hospital, job):
    own = [rule for rule in rules(job, parties(hospital)) if rule.principal == f"User:{hospital}"]
    theirs = {topics.rounds(job), topics.model(job), topics.state(job), topics.aggregator(job)}
    assert not [
        (rule, kind, name)
        for rule in own
        for kind in Kind
        for name in theirs
        if rule.operation is not Op.READ and rule.resource.covers(kind, name)
    ]
    assert not [rule for rule in own if rule.resource.covers(K.TOPIC, topics.state(job))]


@given(hospital=names, one=jobs, other=jobs)
def test_who_takes_part_in_one_job_reads_nothing_of_another(hospital, one, other):
    assume(one != other)
    made = rules(one, parties(hospital))
    theirs = (topics.rounds(other), topics.model(other), topics.state(other), topics.up(hospital, other))
    assert not [rule for rule in made for name in theirs if rule.allows(Op.READ, K.TOPIC, name)]


@pytest.mark.parametrize("hospital", ["", "*", "a.b", "a.", "A", "-a", "a" * 64, "a\n", "aggregator", "a b", "ä"])
def test_a_name_that_would_reach_further_is_no_hospitals(hospital):
    with pytest.raises(LogError, match="cannot be a hospital's name"):
        parties(hospital)


@pytest.mark.parametrize("job", ["", "*", "a.b.c", "a.", ".a", "A", "a_b", "a" * 128, "a\n"])
def test_a_name_that_would_reach_further_is_no_jobs(job):
    with pytest.raises(LogError, match="cannot be a job's name"):
        rules(job, PARTIES)


@pytest.mark.parametrize("principal", ["", "a", "User:", "User:*", "*", "User:a\nb", ":a"])
def test_a_principal_is_one_party(principal):
    with pytest.raises(LogError, match="is no principal"):
        Parties(aggregator="User:aggregator", hospitals={"a": principal})


@pytest.mark.parametrize(
    "shared",
    [
        {"aggregator": "User:x", "hospitals": {"a": "User:x"}},
        {"aggregator": "User:x", "hospitals": {"a": "User:y", "b": "User:y"}},
        {"aggregator": "User:x", "hospitals": {"a": "User:y"}, "watchers": ("User:y",)},
    ],
)
def test_two_parties_never_share_a_principal(shared):
    with pytest.raises(LogError, match="have the same principal"):
        Parties(**shared)


def test_every_rule_has_its_reason_and_stands_once():
    assert all(rule.why.endswith(".") for rule in RULES)
    assert len(set(RULES)) == len(RULES)


def test_a_literal_star_stands_for_everything_as_kafka_has_it():
    (rule,) = (rule for rule in RULES if rule.principal == "User:grafana")
    assert not rule.resource.covers(K.TOPIC, "consilia.rounds.other")
    everything = type(rule.resource)(kind=K.TOPIC, name="*")
    assert everything.covers(K.TOPIC, "consilia.rounds.other")
    assert not everything.covers(K.GROUP, "consilia.rounds.other")


def test_commands_for_kafkas_own_tool_say_why_and_survive_a_shell():
    text = as_commands(
        rules(JOB, Parties(aggregator="User:agg", hospitals={"a": "User:CN=A $(rm), O=X"})), servers="h:1"
    )
    assert "# Write: Sends its messages and updates, which it cannot read back.\n" in text
    assert "--allow-principal 'User:CN=A $(rm), O=X' --operation Write --topic consilia.up.a. " in text
    assert "--resource-pattern-type prefixed\n" in text


def test_a_strimzi_user_logs_in_as_its_principal_says():
    users = {user["metadata"]["name"]: user for user in yaml.safe_load_all(as_strimzi(RULES, cluster="hub"))}
    assert set(users) == {"aggregator", "a", "ab", "a-b", "grafana"}
    assert users["a"]["spec"]["authentication"] == {"type": "scram-sha-512"}
    assert users["a-b"]["spec"]["authentication"] == {"type": "tls"}
    assert users["a"]["metadata"]["labels"] == {"strimzi.io/cluster": "hub"}
    assert {
        "resource": {"type": "topic", "name": "consilia.up.a.", "patternType": "prefix"},
        "operations": ["Write"],
    } in users["a"]["spec"]["authorization"]["acls"]


def test_a_principal_that_strimzi_cannot_make_is_refused():
    made = rules(JOB, Parties(aggregator="User:agg", hospitals={"a": "User:CN=a,O=Clinic"}))
    with pytest.raises(LogError, match="Strimzi gives no user the principal"):
        as_strimzi(made, cluster="hub")


def test_two_principals_that_would_be_one_strimzi_user_are_refused():
    made = rules(JOB, Parties(aggregator="User:agg", hospitals={"a": "User:x", "b": "User:CN=x"}))
    with pytest.raises(LogError, match="two principals are called so"):
        as_strimzi(made, cluster="hub")


def test_json_holds_every_rule_with_its_reason():
    data = json.loads(json.dumps(as_data(RULES)))
    assert len(data) == len(RULES)
    assert data[0] == {
        "principal": "User:aggregator",
        "operation": "Create",
        "resourceType": "Topic",
        "resourceName": f"consilia.rounds.{JOB}",
        "patternType": str(Pattern.LITERAL),
        "why": "Makes the topic when the job begins.",
    }
