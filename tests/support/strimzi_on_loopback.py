"""Strimzi's operators by hand again, but in front of a real Kafka: what they are asked in memory they do on a broker.

The broker is set up as Strimzi would: a listener with `ssl.client.auth=required` that believes what the Secret of the
clients' authority holds, one for passwords, principals as certificates have them, and the authorizer, which denies what
no rule allows.
"""

from dataclasses import replace
from datetime import timedelta

from strimzi_by_hand import READY

from consilia.broker.ports import HOST
from consilia.broker.process import Broker
from consilia.broker.properties import ANONYMOUS, Access, Listener, Stores
from consilia.broker.security import BROKER, Security
from consilia.certificates import issue_server
from consilia.kafka.access import Access as Rules
from consilia.kafka.acl_formats import _STRIMZI_KINDS
from consilia.kafka.acls import AclRule, Operation, Pattern, Resource
from consilia.kafka.cluster import Cluster
from consilia.kafka.connection import make_admin
from consilia.kafka.users import Users, new_password
from consilia_operator.kinds import SECRET, STRIMZI_KAFKA
from consilia_operator.transport.secrets import decoded, encoded

KINDS = {text: kind for kind, text in _STRIMZI_KINDS.items()}


class StrimzisBroker(Broker):
    """The first of the three that the document asks for."""

    believed = b""
    """Of the clients' authorities."""
    advertised = ""

    def _node(self):
        ports, stores = self.seat.ports, self._stores()
        truststore = self.folder / "clients-ca.crt"
        truststore.write_bytes(self.believed)
        door = Listener(
            name="MEMBERS-9094",
            access=Access.CERTIFICATE,
            address=f"{HOST}:{ports.certificate}",
            advertised=self.advertised,
            truststore=truststore,
        )
        listeners = (
            Listener(name="REPLICATION-9091", access=Access.OPEN, address=f"{HOST}:{ports.plain}"),
            Listener(name="TLS-9093", access=Access.SCRAM, address=f"{HOST}:{ports.scram}"),
            door,
        )
        super_users = (f"User:{ANONYMOUS}", f"User:CN={BROKER}")
        rules = {"ssl.principal.mapping.rules": "DEFAULT"}
        return replace(
            super()._node(),
            listeners=listeners,
            peers="REPLICATION-9091",
            stores=stores,
            super_users=super_users,
            overrides=rules,
        )

    def _stores(self):
        path, hosts = self.folder / "node.pem", [HOST, "localhost", self.advertised.rpartition(":")[0]]
        issue_server(self.security.authority, BROKER, hosts, lasts=timedelta(days=30)).save(path, path)
        return Stores(keystore=path, truststore=self.security.ca)


class StrimziOnLoopback:
    """All three operators, for one Kafka."""

    def __init__(self, api, namespace, cluster, folder, runtime):
        self._api, self._namespace, self._cluster = api, namespace, cluster
        self.broker = StrimzisBroker(folder / "broker", runtime, security=Security.open(folder / "keys"))
        self._told, self._principals = {}, set()

    @property
    def port(self):
        """Of the door."""
        return self.broker.seat.ports.certificate

    def answer(self):
        kafka = self._api.there(STRIMZI_KAFKA, self._namespace, self._cluster)
        if kafka and not self.broker.running():
            self._start(kafka)
        if kafka:
            self._answer_users(kafka)

    def _start(self, kafka):
        assert kafka["spec"]["clientsCa"] == {"generateCertificateAuthority": False}
        assert kafka["spec"]["kafka"]["authorization"] == {"type": "simple"}
        secret = decoded(self._api.there(SECRET, self._namespace, f"{self._cluster}-clients-ca-cert"))
        self.broker.believed = b"".join(content for name, content in secret.items() if name.endswith(".crt"))
        (door,) = (each for each in kafka["spec"]["kafka"]["listeners"] if each["authentication"] == {"type": "tls"})
        first = door["configuration"]["brokers"][0]
        self.broker.advertised = f"{first['advertisedHost']}:{first['advertisedPort']}"
        self.broker.start()
        trust = self.broker.security.ca.read_text()
        listeners = [
            {"name": name, "bootstrapServers": f"{HOST}:{port}", "certificates": [trust]}
            for name, port in ((door["name"], self.port), ("tls", self.broker.seat.ports.scram))
        ]
        self._api.put(kafka | {"status": {"conditions": READY, "listeners": listeners}})

    def _answer_users(self, kafka):
        settings = self.broker.settings
        with make_admin(settings) as admin:
            self._make_topics(Cluster(settings, admin))
            there = [each for each in self._api.every() if each["kind"] == "KafkaUser"]
            wanted = {principal_of(each): each for each in there}
            for principal in self._principals - set(wanted):
                Rules(settings, admin).forget(principal, [])
            for principal, user in wanted.items():
                self._make_rules(Rules(settings, admin), principal, user)
                self._make_ready(user, self._log_in(Users(settings, admin), user))
            self._principals = set(wanted)

    def _make_topics(self, cluster):
        for each in self._api.every():
            if each["kind"] == "KafkaTopic":
                policy = each["spec"]["config"]["cleanup.policy"]
                cluster.create(each["metadata"]["name"], compacted="compact" in policy)
                self._make_ready(each, {})

    def _make_rules(self, rules, principal, user):
        """As they stand there, and no others."""
        acls = user["spec"]["authorization"]["acls"]
        if self._told.get(principal) == acls and principal in self._principals:
            return
        rules.forget(principal, [])
        rules.add(
            [
                AclRule(principal=principal, operation=Operation(operation), resource=resource_of(acl["resource"]))
                for acl in acls
                for operation in acl["operations"]
            ]
        )
        self._told[principal] = acls

    def _log_in(self, users, user):
        name = user["metadata"]["name"]
        if user["spec"]["authentication"] == {"type": "tls-external"}:
            return {"username": f"CN={name}"}
        assert user["spec"]["authentication"] == {"type": "scram-sha-512"}
        if not self._api.there(SECRET, self._namespace, name):
            password = new_password()
            users.put({name: password})
            metadata = {"name": name, "namespace": self._namespace}
            data = encoded({"password": password.encode()})
            self._api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
        return {"username": name, "secret": name}

    def _make_ready(self, document, more):
        seen = {"observedGeneration": document["metadata"]["generation"], "conditions": READY}
        self._api.put(document | {"status": seen | more})


def principal_of(user):
    """As Strimzi's User Operator has it."""
    prefix = "" if user["spec"]["authentication"]["type"] == "scram-sha-512" else "CN="
    return f"User:{prefix}{user['metadata']['name']}"


def resource_of(resource):
    pattern = {"prefix": Pattern.PREFIXED, "literal": Pattern.LITERAL}[resource["patternType"]]
    return Resource(kind=KINDS[resource["type"]], name=resource["name"], pattern=pattern)
