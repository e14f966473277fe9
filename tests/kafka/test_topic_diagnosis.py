"""What is found out about a topic in trouble, from whatever the cluster tells."""

import pytest

from consilia.kafka.settings import KafkaSettings
from consilia.kafka.topic_diagnosis import _min_in_sync

TOPIC = "consilia.up.riverside.job"


class Telling:
    """An administrator who is told this."""

    def __init__(self, told):
        self.told = told

    def describe_configs(self, resources, config_filter):
        return self.told


@pytest.mark.parametrize(
    ("told", "needed"),
    [
        ({"topic": {TOPIC: {"min.insync.replicas": {"value": "2"}}}}, 2),
        ({"topic": {TOPIC: {}}}, 3),  # a broker that has just come back, or does not let us know
        ({"topic": {}}, 3),
        ({}, 3),
    ],
)
def test_a_cluster_that_does_not_tell_how_many_copies_it_wants_is_asked_for_what_our_settings_say(told, needed):
    settings = KafkaSettings(bootstrap_servers=("127.0.0.1:9092",), min_insync_replicas=3)
    assert _min_in_sync(settings, TOPIC, Telling(told)) == needed
