"""A transport without Kafka: ready at once, or not ready as the test says; it remembers what it was asked."""

import json
from datetime import UTC, datetime

from consilia_operator.errors import ApiRefused
from consilia_operator.transport.authorities import Authorities
from consilia_operator.transport.interface import AGGREGATOR, KAFKA_JSON, Credentials, GoneJob, NotReady, Ready
from consilia_operator.transport.membership import Membership, certificate_for


class TransportInMemory:
    def __init__(self):
        self.hindrance: NotReady | None = None
        self.refusal: ApiRefused | None = None
        self.kept: dict[str, list[str]] = {}
        """By namespace: the jobs that are over."""
        self.retired: list[GoneJob] = []
        self.admitted: set[str] = set()
        self.expelled: list[tuple[str, str]] = []
        self._authorities = Authorities.begin(datetime.now(UTC))

    async def admit(self, namespace, hospital, request, before):
        if self.refusal:
            raise self.refusal
        if self.hindrance:
            return self.hindrance
        self.admitted.add(hospital)
        certificate = certificate_for(self._authorities, request, hospital, before, datetime.now(UTC))
        trust = self._authorities.bundle
        return Membership(servers=("kafka.example:30093",), trust=trust, certificate=certificate)

    async def expel(self, namespace, hospital):
        self.expelled.append((namespace, hospital))

    async def members(self, namespace):
        return self.admitted - {name for where, name in self.expelled if where == namespace}

    async def prepare(self, job, hospitals, members=()):
        if self.refusal:
            raise self.refusal
        if self.hindrance:
            return self.hindrance
        server = f"consilia-kafka.{job['metadata']['namespace']}.svc:9093"
        files = {KAFKA_JSON: json.dumps({"bootstrapServers": [server]}).encode()}
        return Ready(parties={party: Credentials(files=files) for party in (AGGREGATOR, *hospitals)})

    async def keep_up(self, namespace, over):
        self.kept[namespace] = [job["metadata"]["name"] for job in over]
        return self.hindrance

    async def retire(self, job):
        self.retired.append(job)

    async def orphans(self, namespace, living):
        return []
