"""What a party is given to reach the log, as files; and the passwords that the operator makes for it, each once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consilia.errors import IdentityError
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.users import new_password
from consilia_operator.kinds import SECRET
from consilia_operator.names import HOSPITAL, KAFKA, child, labels, owner_reference, task_name
from consilia_operator.transport.interface import (
    CA_FILE,
    CERTIFICATE_FILE,
    KAFKA_JSON,
    KEY_FILE,
    PASSWORD_FILE,
    Cluster,
    Credentials,
    Document,
)
from consilia_operator.transport.secrets import decoded, encoded

PROXYS_FILE = "proxy-password"
PATIENCE_SECONDS = 30.0
"""How long a program in a pod waits for a cluster that does not answer: a pod that ends comes back later still."""
REMEMBERED_SECONDS = 60.0
"""After so long a Secret is read again."""


def by_password(servers: tuple[str, ...], trust: bytes, user: str, password: str) -> Credentials:
    """For a user with a password, over TLS."""
    settings = KafkaSettings(
        bootstrap_servers=servers, tls=True, ca=Path(CA_FILE), username=user, password=Path(PASSWORD_FILE)
    )
    return _files(settings, {CA_FILE: trust, PASSWORD_FILE: password.encode()})


def by_certificate(servers: tuple[str, ...], trust: bytes, certificate: bytes, key: bytes) -> Credentials:
    """For the holder of a certificate."""
    settings = KafkaSettings(
        bootstrap_servers=servers, tls=True, ca=Path(CA_FILE), certificate=Path(CERTIFICATE_FILE), key=Path(KEY_FILE)
    )
    return _files(settings, {CA_FILE: trust, CERTIFICATE_FILE: certificate, KEY_FILE: key})


def through(credentials: Credentials, proxy: str, username: str | None, password: bytes) -> Credentials:
    """The same by way of a proxy."""
    settings = KafkaSettings.model_validate_json(credentials.files[KAFKA_JSON])
    way: dict[str, object] = {"proxy": proxy}
    files = dict(credentials.files)
    if username:
        way |= {"proxy_username": username, "proxy_password": Path(PROXYS_FILE)}
        files[PROXYS_FILE] = password
    text = settings.model_copy(update=way).model_dump_json(by_alias=True, exclude_defaults=True, indent=2)
    return Credentials(files=files | {KAFKA_JSON: text.encode()})


def without(servers: tuple[str, ...]) -> Credentials:
    """For whoever comes, in plain text."""
    return _files(KafkaSettings(bootstrap_servers=servers), {})


def _files(settings: KafkaSettings, files: Mapping[str, bytes]) -> Credentials:
    """A trust that nobody gave is the system's."""
    settings = settings.model_copy(update={"connect_seconds": PATIENCE_SECONDS})
    if not files.get(CA_FILE):
        settings = settings.model_copy(update={"ca": None})
    text = settings.model_dump_json(by_alias=True, exclude_defaults=True, indent=2)
    return Credentials(files={KAFKA_JSON: text.encode(), **{name: text for name, text in files.items() if text}})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    password: str = field(repr=False)
    until: float


class Passwords:
    """Random ones, each made once and kept in a Secret, so that a crash before Kafka hears of it is harmless."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        """`clock` counts seconds."""
        self._cluster, self._clock = cluster, clock
        self._remembered: dict[tuple[str, str], _Remembered] = {}

    async def of_hospital(self, namespace: str, hospital: str) -> str:
        """The hospital's, for all jobs of a namespace.

        Raises:
            IdentityError: the Secret has none.
        """
        own = labels("kafka") | {HOSPITAL: hospital}
        return await self._once({"name": f"{KAFKA}-user-{hospital}", "namespace": namespace, "labels": own})

    async def of_aggregator(self, job: Document) -> str:
        """The job's; it goes with the job.

        Raises:
            IdentityError: the Secret has none.
        """
        metadata = job["metadata"]
        name = child(task_name(metadata["name"], metadata["uid"]), "kafka")
        own: Document = {"name": name, "namespace": metadata["namespace"], "labels": labels("kafka")}
        return await self._once(own | {"ownerReferences": [owner_reference(job)]})

    async def _once(self, metadata: Mapping[str, Any]) -> str:
        where, now = (metadata["namespace"], metadata["name"]), self._clock()
        if (known := self._remembered.get(where)) and known.until > now:
            return known.password
        found = await self._cluster.get(SECRET, *where) or await self._cluster.create_once(_secret(metadata))
        password = decoded(found).get(PASSWORD_FILE, b"").decode(errors="replace").strip()
        if not password:
            message = f"the Secret {where[0]}/{where[1]} has no {PASSWORD_FILE}."
            raise IdentityError(message, remedy="Delete it: a new one is made.")
        self._remembered = {key: each for key, each in self._remembered.items() if each.until > now}
        self._remembered[where] = _Remembered(password=password, until=now + REMEMBERED_SECONDS)
        return password


def _secret(metadata: Mapping[str, Any]) -> Document:
    data = encoded({PASSWORD_FILE: new_password().encode()})
    return {"apiVersion": SECRET.api_version, "kind": SECRET.kind, "metadata": metadata, "type": "Opaque", "data": data}
