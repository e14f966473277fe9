"""Questions that Kafka answers with "you may" or "you may not", and that change nothing either way.

Kafka looks at the rights before it looks at anything else. So each right is tried with a request that, where the right
is there, does nothing or fails by something else: a write of no batch, a fetch of one byte, a creation that is only
validated, a deletion of all records before offset 0, a heartbeat of nobody, a producer with a time-out of 0. That also
works for topics that do not exist yet, and beside a job that runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kafka.protocol.admin import (
    AlterClientQuotasRequest,
    AlterUserScramCredentialsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteRecordsRequest,
    DescribeAclsRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
    DescribeTransactionsRequest,
    IncrementalAlterConfigsRequest,
)
from kafka.protocol.consumer import FetchRequest, HeartbeatRequest
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.producer import InitProducerIdRequest, ProduceRequest

from consilia.kafka.acls import Kind, Operation
from consilia.kafka.rights import NOBODY

_TIMEOUT_MS = 2000
_ANY = 1
_TOPIC, _SCRAM_SHA_512 = 2, 2
"""Numbers of the protocol."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a name, and where in the answer its error code is."""

    request: Callable[[str], object]
    code: Callable[[Any], int]


def _fetch(topic: str) -> object:
    partition = FetchRequest.FetchTopic.FetchPartition(
        partition=0, current_leader_epoch=-1, fetch_offset=0, partition_max_bytes=1
    )
    # Version 12 is the last that names topics; later ones say ids, which a party that may not Describe cannot know.
    return FetchRequest(
        replica_id=-1, max_wait_ms=0, min_bytes=0, max_bytes=1, isolation_level=1, session_id=0, session_epoch=-1,
        topics=[FetchRequest.FetchTopic(topic=topic, partitions=[partition])], forgotten_topics_data=[], max_version=12,
    )  # fmt: skip


def _write(topic: str) -> object:
    # Not None for the records: Kafka 4.3.1 leaves such a request without an answer. Version 12 as above.
    data = [(topic, [(0, b"")])]
    return ProduceRequest(transactional_id=None, acks=-1, timeout_ms=_TIMEOUT_MS, topic_data=data, max_version=12)


def _create(topic: str) -> object:
    return CreateTopicsRequest(topics=[(topic, 1, -1, [], [])], timeout_ms=_TIMEOUT_MS, validate_only=True)


def _delete(topic: str) -> object:
    return DeleteRecordsRequest(topics=[(topic, [(0, 0)])], timeout_ms=_TIMEOUT_MS)


def _add_partition(topic: str) -> object:
    return CreatePartitionsRequest(topics=[(topic, 2, None)], timeout_ms=_TIMEOUT_MS, validate_only=True)


def _alter_configs(topic: str) -> object:
    change = (_TOPIC, topic, [("retention.ms", 0, "-1")])
    return IncrementalAlterConfigsRequest(resources=[change], validate_only=True)


def _describe_configs(topic: str) -> object:
    asked = (_TOPIC, topic, ["cleanup.policy"])
    return DescribeConfigsRequest(resources=[asked], include_synonyms=False, include_documentation=False)


def _describe(topic: str) -> object:
    return MetadataRequest(topics=[(None, topic)], allow_auto_topic_creation=False, max_version=12)


def _heartbeat(group: str) -> object:
    return HeartbeatRequest(group_id=group, generation_id=0, member_id=NOBODY, group_instance_id=None)


def _describe_group(group: str) -> object:
    return DescribeGroupsRequest(groups=[group], include_authorized_operations=False)


def _open_producer(name: str) -> object:
    return InitProducerIdRequest(
        transactional_id=name, transaction_timeout_ms=0, producer_id=-1, producer_epoch=-1, max_version=5
    )


def _describe_producer(name: str) -> object:
    return DescribeTransactionsRequest(transactional_ids=[name])


def _describe_acls(_: str) -> object:
    return DescribeAclsRequest(
        resource_type_filter=_TOPIC, resource_name_filter=NOBODY, pattern_type_filter=_ANY,
        principal_filter=None, host_filter=None, operation=_ANY, permission_type=_ANY,
    )  # fmt: skip


def _delete_nobody(_: str) -> object:
    return AlterUserScramCredentialsRequest(deletions=[(NOBODY, _SCRAM_SHA_512)], upsertions=[])


def _limit_nobody(_: str) -> object:
    entry = AlterClientQuotasRequest.EntryData(
        entity=[("client-id", NOBODY)], ops=[("request_percentage", 100.0, False)]
    )
    return AlterClientQuotasRequest(entries=[entry], validate_only=True)


QUESTIONS: Mapping[Kind, Mapping[Operation, Question]] = MappingProxyType({
    Kind.TOPIC: {
        Operation.DESCRIBE: Question(_describe, lambda answer: answer.topics[0].error_code),
        Operation.READ: Question(_fetch, lambda answer: answer.responses[0].partitions[0].error_code),
        Operation.WRITE: Question(_write, lambda answer: answer.responses[0].partition_responses[0].error_code),
        Operation.CREATE: Question(_create, lambda answer: answer.topics[0].error_code),
        Operation.DELETE: Question(_delete, lambda answer: answer.topics[0].partitions[0].error_code),
        Operation.ALTER: Question(_add_partition, lambda answer: answer.results[0].error_code),
        Operation.DESCRIBE_CONFIGS: Question(_describe_configs, lambda answer: answer.results[0].error_code),
        Operation.ALTER_CONFIGS: Question(_alter_configs, lambda answer: answer.responses[0].error_code),
    },
    Kind.GROUP: {
        Operation.DESCRIBE: Question(_describe_group, lambda answer: answer.groups[0].error_code),
        Operation.READ: Question(_heartbeat, lambda answer: answer.error_code),
    },
    Kind.TRANSACTIONAL_ID: {
        Operation.DESCRIBE: Question(_describe_producer, lambda answer: answer.transaction_states[0].error_code),
        Operation.WRITE: Question(_open_producer, lambda answer: answer.error_code),
    },
    Kind.CLUSTER: {
        Operation.DESCRIBE: Question(_describe_acls, lambda answer: answer.error_code),
        Operation.CREATE: Question(lambda _: _create(NOBODY), lambda answer: answer.topics[0].error_code),
        Operation.ALTER: Question(_delete_nobody, lambda answer: answer.results[0].error_code),
        Operation.ALTER_CONFIGS: Question(_limit_nobody, lambda answer: answer.entries[0].error_code),
    },
})  # fmt: skip
"""By what a right is about, and what it allows."""
