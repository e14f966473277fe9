"""What is added to a cluster's rules and what is taken away: pure."""

from hypothesis import given
from hypothesis import strategies as st

from consilia.kafka.acl_difference import Binding, difference
from consilia.kafka.acls import AclRule, Kind, Operation, Parties, Pattern, Resource, rules

PARTIES = Parties(aggregator="User:aggregator", hospitals={"a": "User:a", "a-b": "User:a-b"})
WANTED = rules("job", PARTIES)

users = st.sampled_from(["User:aggregator", "User:a", "User:a-b", "User:stranger", "User:*"])
words = st.lists(st.sampled_from(["consilia", "rounds", "up", "a", "a-b", "job", "other", "job-2", "*"]), min_size=1)
resources = st.builds(
    Resource,
    kind=st.sampled_from([Kind.TOPIC, Kind.GROUP, Kind.TRANSACTIONAL_ID]),
    name=st.one_of(words.map(".".join), st.sampled_from([rule.resource.name for rule in WANTED])),
    pattern=st.sampled_from(Pattern),
)
some_rules = st.one_of(
    st.sampled_from(WANTED),
    st.builds(AclRule, principal=users, operation=st.sampled_from(Operation), resource=resources),
)
bindings = st.builds(Binding, rule=some_rules, host=st.sampled_from(["*", "10.0.0.1"]), denies=st.booleans())
clusters = st.sets(bindings, max_size=20)


def after(found, job="job", wanted=WANTED):
    """The cluster's rules once what is missing was added and what is stale was removed."""
    seen = difference(job, wanted, found)
    return (set(found) | {Binding(rule=rule) for rule in seen.missing}) - {Binding(rule=rule) for rule in seen.stale}


@given(clusters)
def test_once_applied_there_is_nothing_left_to_do(found):
    again = difference("job", WANTED, after(found))
    assert (again.present, again.missing, again.stale) == (WANTED, (), ())


@given(clusters)
def test_nothing_of_others_is_taken_away(found):
    gone = set(found) - after(found)
    assert all(each.rule.principal in {"User:aggregator", "User:a", "User:a-b"} for each in gone)
    assert all(each.rule.resource.name.startswith("consilia.") for each in gone)


@given(clusters)
def test_applying_one_job_leaves_another_of_the_same_parties_whole(found):
    other = rules("other", PARTIES)
    both = after({*found, *(Binding(rule=rule) for rule in other)})
    assert {Binding(rule=rule) for rule in other} <= both


@given(clusters)
def test_every_rule_that_reaches_the_job_is_wanted_taken_away_or_shown(found):
    seen = difference("job", WANTED, found)
    known = {*(Binding(rule=rule) for rule in (*WANTED, *seen.stale)), *seen.others}
    reaching = {
        each for each in found for topic in ("consilia.rounds.job", "consilia.up.a.job")
        if each.rule.resource.covers(Kind.TOPIC, topic)
    }  # fmt: skip
    assert reaching <= known


def test_what_forbids_and_what_holds_for_one_host_is_shown_in_words():
    (wanted,) = (rule for rule in WANTED if rule.principal == "User:a" and rule.resource.name == "consilia.rounds.job")
    found = [Binding(rule=wanted, denies=True), Binding(rule=wanted, host="10.0.0.1")]
    seen = difference("job", WANTED, found)
    assert wanted in seen.missing
    assert [each.words() for each in seen.others] == [
        "User:a is denied Read Topic consilia.rounds.job",
        "User:a may Read Topic consilia.rounds.job from 10.0.0.1",
    ]


def test_a_rule_for_everything_that_begins_alike_reads_so():
    everything = Resource(kind=Kind.TOPIC, name="consilia.", pattern=Pattern.PREFIXED)
    rule = AclRule(principal="User:stranger", operation=Operation.ALL, resource=everything)
    assert [each.words() for each in difference("job", WANTED, [Binding(rule=rule)]).others] == [
        "User:stranger may All Topic consilia. and all that begins so"
    ]
