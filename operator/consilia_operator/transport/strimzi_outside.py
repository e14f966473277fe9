"""What hospitals in other clusters need of a Kafka of Strimzi's: a listener, whom it believes, users, topics. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from consilia.kafka.acl_formats import strimzi_users
from consilia.kafka.acls import AclRule, hub_rules, member_rules
from consilia.kafka.cluster import topic_configuration
from consilia.log import topics
from consilia_operator.kinds import SECRET, STRIMZI_TOPIC, Kind
from consilia_operator.names import FIELD_MANAGER, HOSPITAL, JOB_NAMESPACE, MANAGED_BY, labels
from consilia_operator.settings import OperatorSettings, Outside
from consilia_operator.transport.authorities import Authorities, parse_bundle
from consilia_operator.transport.interface import Document
from consilia_operator.transport.secrets import decoded, encoded
from consilia_operator.transport.strimzi_objects import BROKERS, CLUSTER_LABEL, INSIDE_PORT, Login, Place, as_external

NODE_PORTS_LISTENER = 9094
_LOWEST, _STRIMZIS_OWN = 9092, (INSIDE_PORT, 9404, 9999)
"""Ports of Strimzi's listeners begin there; these are taken."""
_NO_KEY = b"The hub's operator alone has this key: it signs for hospitals, and Strimzi for nobody.\n"
"""Strimzi wants the Secret to be there, and reads it only to sign for KafkaUsers of type tls, which we ask for none."""
CERTIFICATES, KEY = "clients-ca-cert", "clients-ca"
"""The Secrets of a Kafka, behind its name: whom its clients' listeners believe, and the key to it."""
_CERTIFICATES, _KEYS = "strimzi.io/ca-cert-generation", "strimzi.io/ca-key-generation"
_CA_FILE, _KEY_FILE = "ca.crt", "ca.key"


def place_of(settings: OperatorSettings, hub: str) -> Place | None:
    """Where the log of a hub's namespace is, if that is Strimzi's."""
    strimzi = settings.outside.strimzi
    if settings.outside.log != "Strimzi":
        return None
    return Place(namespace=strimzi.namespace or hub, cluster=strimzi.cluster)


def cannot_be_made(outside: Outside) -> str:
    """Why no listener can be; empty if one can."""
    if outside.type == "None" or not outside.host:
        return "nobody has said how hospitals would reach it."
    if outside.type == "LoadBalancer" and (outside.port < _LOWEST or outside.port in _STRIMZIS_OWN):
        return (
            f"Strimzi has no listener at port {outside.port}; from {_LOWEST} on, others than {_STRIMZIS_OWN}, it has."
        )
    return ""


def listener(outside: Outside) -> Document:
    """For a Kafka that we make: the door for hospitals, at the addresses that managed Kafka has its own."""
    by_node = outside.type == "NodePort"
    return {
        "name": outside.strimzi.listener,
        "port": NODE_PORTS_LISTENER if by_node else outside.port,
        "type": outside.type.lower(),
        "tls": True,
        "authentication": {"type": "tls"},
        "configuration": _by_node(outside) if by_node else _by_balancer(outside),
    }


def _by_node(outside: Outside) -> Document:
    brokers = [each | {"nodePort": each["advertisedPort"]} for each in _brokers(outside)]
    hosts = list(dict.fromkeys(each["advertisedHost"] for each in brokers))
    bootstrap = {"nodePort": outside.port + BROKERS, "alternativeNames": hosts}
    return {"externalTrafficPolicy": "Cluster", "bootstrap": bootstrap, "brokers": brokers}


def _by_balancer(outside: Outside) -> Document:
    # A balancer in front of all of them would cost an address and be called by nobody.
    return {"externalTrafficPolicy": "Local", "createBootstrapService": False, "brokers": _brokers(outside)}


def _brokers(outside: Outside) -> list[Document]:
    addresses = (outside.address(number).rpartition(":") for number in range(BROKERS))
    return [
        {"broker": number, "advertisedHost": host.strip("[]"), "advertisedPort": int(port)}
        for number, (host, _, port) in enumerate(addresses)
    ]


def clients_ca(
    place: Place, authorities: Authorities, certificates: Document | None, key: Document | None
) -> list[Document]:
    """The Secrets by which Strimzi has the listener believe our authority; those that are there are given.

    Each certificate has an entry of its own: Strimzi takes several in one for a chain.
    """
    signer = authorities.signer.certificate
    others = [each for each in parse_bundle(authorities.bundle) if each != signer]
    files = {_CA_FILE: _pem(signer)} | {
        f"ca-{each.not_valid_after_utc:%Y-%m-%dT%H-%M-%SZ}.crt": _pem(each) for each in others
    }
    wanted = encoded(files)
    there = (certificates or {}).get("data") or {}
    other_signer = key is not None and there.get(_CA_FILE) != wanted[_CA_FILE]
    keys = _generation(key, _KEYS) + other_signer
    told = _generation(certificates, _CERTIFICATES) + (certificates is not None and there != wanted)
    # The key's first: its generation says which certificates are of an older one.
    return [
        _authority(place, KEY, encoded({_KEY_FILE: _NO_KEY}), {_KEYS: str(keys)}),
        _authority(place, CERTIFICATES, wanted, {_CERTIFICATES: str(told)}),
    ]


def _generation(there: Document | None, name: str) -> int:
    found = ((there or {}).get("metadata", {}).get("annotations") or {}).get(name, "0")
    return int(found) if found.isdigit() else 0


def _authority(place: Place, what: str, data: dict[str, str], annotations: dict[str, str]) -> Document:
    own = labels("kafka") | {"strimzi.io/kind": "Kafka", CLUSTER_LABEL: place.cluster}
    metadata: Document = {"name": f"{place.cluster}-{what}", "namespace": place.namespace}
    metadata |= {"labels": own, "annotations": annotations}
    return {"apiVersion": SECRET.api_version, "kind": SECRET.kind, "metadata": metadata, "type": "Opaque", "data": data}


def is_ours_to_write(there: Document | None) -> bool:
    """Whether a Secret of a Kafka in the hub's own namespace was made by us, or is still to be."""
    return there is None or there["metadata"].get("labels", {}).get(MANAGED_BY) == FIELD_MANAGER


def why_not_believed(there: Document | None, authorities: Authorities, now: datetime) -> str:
    """What is wrong with whom the listener believes; empty if that is our authority and nobody else.

    Raises:
        IdentityError: what the Secret holds is damaged.
    """
    entries = (content for name, content in decoded(there).items() if name.endswith(".crt"))
    valid = {each for entry in entries for each in parse_bundle(entry) if each.not_valid_after_utc > now}
    if authorities.signer.certificate not in valid:
        return "does not believe the authority by which this hub signs for hospitals"
    if valid - set(parse_bundle(authorities.bundle)):
        return "believes also another authority than this hub's, which could sign for any hospital"
    return ""


def member(place: Place, hub: str, hospital: str) -> Document:
    """The KafkaUser of a hospital in another cluster: Strimzi makes its rules, and we its certificate."""
    (user,) = _users(place, member_rules(hospital, f"User:CN={hospital}"))
    return _marked(as_external(user), place, hub, hospital)


def correspondent(place: Place, hub: str, login: Login) -> Document:
    """The hub's operator's."""
    prefix = "User:CN=" if login == "tls" else "User:"
    (user,) = _users(place, hub_rules(prefix + topics.HUB))
    return _marked(as_external(user) if login == "tls" else user, place, hub)


def letters(place: Place, hub: str, hospital: str) -> list[Document]:
    """The KafkaTopics for what hub and hospital write each other."""
    spec = {"partitions": 1, "config": topic_configuration(compacted=True)}
    names = (topics.offers(hospital), topics.reports(hospital))
    return [_marked(_object(STRIMZI_TOPIC, name) | {"spec": spec}, place, hub, hospital) for name in names]


def _users(place: Place, rules: Sequence[AclRule]) -> Iterable[Document]:
    return strimzi_users(rules, cluster=place.cluster)


def _object(kind: Kind, name: str) -> Document:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}}


def _marked(document: Document, place: Place, hub: str, hospital: str = "") -> Document:
    own = labels("kafka") | {CLUSTER_LABEL: place.cluster, JOB_NAMESPACE: hub}
    metadata = {"name": document["metadata"]["name"], "namespace": place.namespace}
    return document | {"metadata": metadata | {"labels": own | ({HOSPITAL: hospital} if hospital else {})}}


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
