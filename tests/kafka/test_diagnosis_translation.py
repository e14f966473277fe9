"""From kafka-python's exceptions to ours: pure."""

import pytest
from kafka import errors as theirs

from consilia.errors import ConsiliaError, FencedError, LogAccessError, LogError, LogUnavailableError
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.translation import Failure, translate, unwrapped

SETTINGS = KafkaSettings(bootstrap_servers=("kafka.hub:9093",), tls=True, username="hospital-a", password="/p/word")
ALL = sorted(
    {each for each in vars(theirs).values() if isinstance(each, type) and issubclass(each, theirs.KafkaError)},
    key=lambda each: each.__name__,
)


def failure(error, **fields):
    return Failure(**{"error": error, "settings": SETTINGS, "doing": "write to", "topic": "t", **fields})


@pytest.mark.parametrize("doing", ["write to", "read", "create", "delete", "look up", "commit"])
def test_every_error_of_theirs_becomes_one_that_says_where_what_and_what_to_do(doing):
    for kind in ALL:
        error = translate(failure(kind({}) if kind is theirs.LogTruncationError else kind(), doing=doing))
        assert isinstance(error, ConsiliaError)
        assert f"cannot {doing} topic t" in error.message
        assert "kafka.hub:9093" in error.message
        assert error.remedy.endswith(".")
        assert ".." not in error.message


@pytest.mark.parametrize(
    ("error", "fields", "kind", "words"),
    [
        (theirs.TopicAuthorizationFailedError(), {}, LogAccessError, "user hospital-a may not Write topic t."),
        (theirs.TopicAuthorizationFailedError(), {"doing": "read"}, LogAccessError, "may not Read topic t."),
        (theirs.TopicAuthorizationFailedError(), {"doing": "look up"}, LogAccessError, "may not Describe topic t."),
        (
            theirs.TopicAuthorizationFailedError({"b", "a"}),
            {"topic": None},
            LogAccessError,
            "may not Write topic a, b.",
        ),
        (theirs.TopicAuthorizationFailedError("x"), {"topic": None}, LogAccessError, "may not Write topic x."),
        (theirs.TopicAuthorizationFailedError({"x"}), {}, LogAccessError, "write to topic t on Kafka"),
        (theirs.TopicAuthorizationFailedError({"x"}), {}, LogAccessError, "may not Write topic x."),
        (
            theirs.TopicAuthorizationFailedError(
                "in an error state: [Error 29] TopicAuthorizationFailedError: {'a', 'b'}"
            ),
            {"topic": None, "doing": "commit"},
            LogAccessError,
            "may not Read topic a, b.",
        ),
        (theirs.GroupAuthorizationFailedError(), {"group": "g"}, LogAccessError, "may not Read group g."),
        (
            theirs.TransactionalIdAuthorizationFailedError(),
            {"transactional_id": "w"},
            LogAccessError,
            "may not Write transactional id w.",
        ),
        (theirs.ClusterAuthorizationFailedError(), {"doing": "create"}, LogAccessError, "may not Create the cluster."),
        (theirs.SaslAuthenticationFailedError("no"), {}, LogAccessError, "does not let user hospital-a in"),
        (theirs.ProducerFencedError(), {"transactional_id": "w"}, FencedError, "taken over transactional id w"),
        (theirs.InvalidProducerEpochError(), {}, FencedError, "a newer process"),
        (theirs.MessageSizeTooLargeError(), {}, LogError, "larger than the topic takes"),
        (theirs.UnknownTopicOrPartitionError(), {}, LogError, "there is no such topic"),
        (theirs.NotEnoughReplicasError(), {}, LogUnavailableError, "in sync"),
        (theirs.InvalidReplicationFactorError(), {}, LogError, "not enough brokers"),
        (theirs.PolicyViolationError("no"), {}, LogError, "does not take the topic's settings"),
        (theirs.UnsupportedVersionError("no"), {}, LogError, "too old"),
        (theirs.KafkaTimeoutError("slow"), {}, LogUnavailableError, "slow"),
        (theirs.InvalidTxnStateError("lost"), {}, LogUnavailableError, "lost"),
        (theirs.CorruptRecordError("torn"), {}, LogError, "torn"),
    ],
)
def test_what_somebody_must_fix_is_told_from_what_may_pass(error, fields, kind, words):
    found = translate(failure(error, **fields))
    assert type(found) is kind
    assert words in found.message


def test_who_is_denied_something_is_told_how_to_see_what_everybody_needs():
    assert "`consilia kafka acls`" in translate(failure(theirs.TopicAuthorizationFailedError())).remedy


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Could not execute transactional request for unknown reasons: [Error 7] RequestTimedOutError: slow", 7),
        ("Cannot execute transactional method because we are in an error state: [Error 29] Topic...: {'a'}", 29),
        ("in an error state: KafkaError: for unknown reasons: [Error 7] RequestTimedOutError: slow", 7),
        ("[Error 48] InvalidTxnStateError", 48),
    ],
)
def test_an_error_that_stands_only_in_the_words_of_another_is_found_there(text, kind):
    found = unwrapped(theirs.KafkaError(text))
    assert type(found) is theirs.for_code(kind)
    assert text in str(found)


@pytest.mark.parametrize("layers", [1, 2])
def test_an_error_that_another_holds_is_found_there(layers):
    error = inner = theirs.TopicAuthorizationFailedError({"state"})
    for _ in range(layers):
        error = theirs.KafkaError("Cannot perform send because at least one previous request has failed", error)
    assert unwrapped(error) is inner
    assert "may not Write topic state." in translate(failure(unwrapped(error), topic="rounds")).message


@pytest.mark.parametrize(
    "error", [theirs.KafkaError("no number"), theirs.KafkaTimeoutError("after [Error 7]"), theirs.ProducerFencedError()]
)
def test_an_error_that_says_itself_what_it_is_stays_as_it_is(error):
    assert unwrapped(error) is error


@pytest.mark.parametrize(
    ("names", "worst"),
    [
        (["RequestTimedOutError", "RequestTimedOutError"], theirs.RequestTimedOutError),
        (["RequestTimedOutError", "TopicAuthorizationFailedError"], theirs.TopicAuthorizationFailedError),
        (["OffsetOutOfRangeError", "RequestTimedOutError"], theirs.OffsetOutOfRangeError),
        (["UnheardOfError"], theirs.KafkaError),
        ([], theirs.BrokerResponseError),
    ],
)
def test_of_several_errors_in_one_the_worst_is_found(names, worst):
    said = ", ".join(f"topic-{n}(partition=0): {name}" for n, name in enumerate(names))
    error = theirs.BrokerResponseError(f"The following errors occured when trying to delete records: {said}")
    assert type(unwrapped(error)) is worst


def test_a_request_in_a_transaction_that_timed_out_may_be_tried_again():
    """To kafka-python it is the producer's end; to us a reason to open another."""
    error = theirs.KafkaError("Could not execute transactional request for unknown reasons: [Error 7] slow")
    assert type(translate(failure(unwrapped(error)))) is LogUnavailableError
