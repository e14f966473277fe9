"""Where a Kafka of Strimzi's is reached and how one logs in there, or why it cannot be used. Pure."""

from dataclasses import dataclass

from consilia_operator.transport.conditions import condition_message, is_true
from consilia_operator.transport.interface import Document, NotReady
from consilia_operator.transport.strimzi_objects import Login

_SOON, _LATER = 3.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One that can be used."""

    servers: tuple[str, ...]
    trust: bytes
    login: Login
    advertised: tuple[str, ...] = ()
    """What its brokers tell those who call from outside, if somebody has said it for each of them."""


def listener_of(kafka: Document, name: str) -> Listener | NotReady:
    """The listener of that name."""
    declared = {each["name"]: each for each in kafka["spec"]["kafka"].get("listeners", ())}
    if name not in declared:
        others = ", ".join(declared) or "none"
        return _unfit("ListenerMissing", kafka, f"has no listener {name}; its listeners are: {others}")
    listener = declared[name]
    login = (listener.get("authentication") or {}).get("type")
    if not listener.get("tls") or login not in {"scram-sha-512", "tls"}:
        return _unfit("ListenerUnfit", kafka, f"does not ask for TLS, and scram-sha-512 or tls, at its listener {name}")
    if not kafka["spec"]["kafka"].get("authorization"):
        return _unfit("StrimziUnprotected", kafka, "has no authorization, so hospitals could read what others send")
    status = kafka.get("status") or {}
    found = next((each for each in status.get("listeners", ()) if each.get("name") == name), None)
    if not is_true(kafka, "Ready") or not found or not found.get("bootstrapServers"):
        return _starting(kafka)
    trust = "\n".join(found.get("certificates", ()))
    servers = tuple(found["bootstrapServers"].split(","))
    return Listener(servers=servers, trust=trust.encode(), login=login, advertised=_advertised(listener))


def _advertised(listener: Document) -> tuple[str, ...]:
    """Strimzi's status has nodes' or balancers' own addresses, which a hospital may not reach."""
    brokers = (listener.get("configuration") or {}).get("brokers") or ()
    known = [(each.get("advertisedHost"), each.get("advertisedPort") or each.get("nodePort")) for each in brokers]
    if not all(host and port for host, port in known):
        return ()
    return tuple(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in known)


def _what(kafka: Document) -> str:
    return f"Kafka {kafka['metadata']['namespace']}/{kafka['metadata']['name']}"


def _unfit(reason: str, kafka: Document, why: str) -> NotReady:
    message = f"{_what(kafka)} {why}. Correct it, or name another listener in transport.strimzi.listener."
    return NotReady(reason=reason, message=message, retry_seconds=_LATER)


def _starting(kafka: Document) -> NotReady:
    said = condition_message(kafka, "NotReady") or condition_message(kafka, "Ready") or "it has not answered yet"
    namespace, name = kafka["metadata"]["namespace"], kafka["metadata"]["name"]
    message = f"{_what(kafka)} is not ready: {said}. Look at it: kubectl -n {namespace} describe kafka {name}."
    return NotReady(reason="StrimziKafkaStarting", message=message, retry_seconds=_SOON)
