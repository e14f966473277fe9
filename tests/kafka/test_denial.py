"""Which right it was that a transaction lacked; `test_least_rights` asks it of a broker."""

import pytest
from kafka import errors as theirs

from consilia.errors import LogAccessError
from consilia.kafka.denial import require_rights
from consilia.kafka.settings import KafkaSettings

SETTINGS = KafkaSettings(bootstrap_servers=("kafka.hub:9093",), tls=True, username="aggregator", password="/p/word")


def look(error):
    require_rights(SETTINGS, error, appended=["rounds", "state"], offsets={"agg": ["up.a", "up.b"]})


@pytest.mark.parametrize(
    "error",
    [
        theirs.TopicAuthorizationFailedError({"state"}),
        theirs.TopicAuthorizationFailedError("state"),
        theirs.KafkaError("in an error state: [Error 29] TopicAuthorizationFailedError: {'state'}"),
    ],
)
def test_a_denial_that_the_transaction_hears_of_before_its_records_is_told_as_theirs(error):
    with pytest.raises(LogAccessError, match=r"user aggregator may not Write topic state\."):
        look(error)


def test_a_topic_that_is_denied_and_not_written_to_is_one_whose_offset_was_to_be_committed():
    with pytest.raises(LogAccessError, match=r"cannot commit an offset of topic up\.a .* may not Read topic up\.a\."):
        look(theirs.TopicAuthorizationFailedError({"up.a"}))


def test_a_group_that_is_denied_is_named():
    with pytest.raises(LogAccessError, match=r"may not Read group agg\."):
        look(theirs.GroupAuthorizationFailedError())


@pytest.mark.parametrize("error", [theirs.KafkaError("rounds"), theirs.TransactionalIdAuthorizationFailedError()])
def test_what_has_another_cause_is_left_to_others(error):
    look(error)


def test_a_transaction_that_commits_no_offset_is_not_told_that_it_may_not():
    error = theirs.TopicAuthorizationFailedError()
    require_rights(SETTINGS, error, appended=["rounds"], offsets={})
