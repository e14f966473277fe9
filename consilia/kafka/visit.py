"""One visit to one broker: get in, greet, log in (SCRAM, RFC 5802), ask who the brokers are."""

from dataclasses import dataclass

from kafka.net.sasl.scram import ScramClient
from kafka.protocol.metadata import ApiVersionsRequest, MetadataRequest
from kafka.protocol.sasl import SaslAuthenticateRequest

from consilia.kafka import findings
from consilia.kafka.approach import Approach, Step
from consilia.kafka.explanation import FAILURES, MECHANISM, explain, offered_logins
from consilia.kafka.network import tls_context
from consilia.kafka.password import read_password

_METADATA_KEY = 3


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker as the cluster announces it."""

    node: int
    host: str
    port: int


def visit(approach: Approach) -> list[Broker]:
    """Go there and ask which brokers there are.

    Raises:
        ConsiliaError: what is wrong.
    """
    settings = approach.peer.settings
    try:
        approach.connect()
        if settings.tls:
            approach.secure(tls_context(settings))
        _greet(approach)
        if settings.username:
            _log_in(approach)
        return _brokers(approach)
    except FAILURES as error:
        raise explain(approach, error) from None
    finally:
        approach.close()


def _greet(approach: Approach) -> None:
    approach.step = Step.GREETING
    greeted = approach.ask(ApiVersionsRequest[0]())
    if not any(each.api_key == _METADATA_KEY for each in greeted.api_keys):
        raise findings.controller(approach.peer)


def _log_in(approach: Approach) -> None:
    approach.step = Step.LOGIN
    offered = offered_logins(approach)
    if not offered:
        raise findings.no_login(approach.peer)
    if MECHANISM not in offered:
        raise findings.other_login(approach.peer, ", ".join(offered))
    settings = approach.peer.settings
    assert settings.password is not None
    client = ScramClient(settings.username, read_password(settings.password, "password"), MECHANISM)
    try:
        client.process_server_first_message(_authenticate(approach, client.first_message()))
        client.process_server_final_message(_authenticate(approach, client.final_message()))
    except (ValueError, KeyError):
        raise findings.impostor(approach.peer) from None


def _authenticate(approach: Approach, words: bytes) -> bytes:
    answer = approach.ask(SaslAuthenticateRequest[1](auth_bytes=words))
    if answer.error_code:
        raise findings.wrong_password(approach.peer)
    return bytes(answer.auth_bytes)


def _brokers(approach: Approach) -> list[Broker]:
    approach.step = Step.BROKERS
    answer = approach.ask(MetadataRequest[4](topics=[], allow_auto_topic_creation=False))
    return [Broker(each.node_id, each.host, each.port) for each in answer.brokers]
