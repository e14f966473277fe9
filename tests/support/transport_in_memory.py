"""A transport without Kafka: ready at once, or not ready as the test says; it remembers what it was asked."""

import json

from consilia_operator.errors import ApiRefused
from consilia_operator.transport.interface import AGGREGATOR, KAFKA_JSON, Credentials, GoneJob, NotReady, Ready


class TransportInMemory:
    def __init__(self):
        self.hindrance: NotReady | None = None
        self.refusal: ApiRefused | None = None
        self.kept: dict[str, list[str]] = {}
        """By namespace: the jobs that are over."""
        self.retired: list[GoneJob] = []

    async def prepare(self, job, hospitals):
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
