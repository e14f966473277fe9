"""What Strimzi's operators answer, for an API server in memory: conditions, addresses, users' Secrets."""

from consilia_operator.kinds import STRIMZI_KAFKA
from consilia_operator.transport.secrets import encoded

READY = [{"type": "Ready", "status": "True"}]
AUTHORITY = "-----BEGIN CERTIFICATE-----\nof Strimzi\n-----END CERTIFICATE-----\n"
KINDS = {"Kafka", "KafkaUser", "KafkaTopic"}


def a_kafka(namespace, name, *, login="scram-sha-512", **changes):
    """As somebody else made it."""
    listener = {"name": "tls", "port": 9093, "type": "internal", "tls": True, "authentication": {"type": login}}
    spec = {"kafka": {"listeners": [listener], "authorization": {"type": "simple"}} | changes, "entityOperator": {}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": STRIMZI_KAFKA.api_version, "kind": "Kafka", "metadata": metadata, "spec": spec}


def with_a_door(kafka, **changes):
    """The same with a listener for other clusters, whose authority is its owner's to say."""
    listener = {"name": "members", "port": 9094, "type": "loadbalancer", "tls": True, "authentication": {"type": "tls"}}
    spec = kafka["spec"]["kafka"]
    own = spec | {"listeners": [*spec["listeners"], listener | changes]}
    return kafka | {"spec": kafka["spec"] | {"kafka": own, "clientsCa": {"generateCertificateAuthority": False}}}


def shared_with(hub, document):
    """As its owner labels it, for the jobs of another namespace."""
    labels = document["metadata"].get("labels", {}) | {"consilia.dev/hub": hub}
    return document | {"metadata": document["metadata"] | {"labels": labels}}


def answer(api):
    """To everything that there is, once."""
    for each in api.every():
        if each["kind"] in KINDS:
            own = _of_a_kafka(each) if each["kind"] == "Kafka" else {}
            if each["kind"] == "KafkaUser":
                own = _of_a_user(api, each)
            seen = {"observedGeneration": each["metadata"]["generation"], "conditions": READY}
            api.put(each | {"status": seen | own})


def _of_a_kafka(kafka):
    address = f"{kafka['metadata']['name']}-kafka-bootstrap.{kafka['metadata']['namespace']}.svc:9093"
    listeners = kafka["spec"]["kafka"]["listeners"]
    told = [
        {
            "name": each["name"],
            "bootstrapServers": address
            if each.get("type", "internal") == "internal"
            else f"balancer.example:{each['port']}",
            "certificates": [AUTHORITY],
        }
        for each in listeners
    ]
    return {"listeners": told}


def _of_a_user(api, user):
    name, namespace = user["metadata"]["name"], user["metadata"]["namespace"]
    login, own = user["spec"]["authentication"]["type"], name.encode()
    if login == "tls-external":
        return {"username": f"CN={name}"}
    files = {"user.crt": b"CRT " + own, "user.key": b"KEY"} if login == "tls" else {"password": b"pw " + own}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}
    api.put(secret | {"data": encoded(files)})
    return {"username": f"CN={name}" if login == "tls" else name, "secret": name}
