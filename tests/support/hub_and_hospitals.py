"""A hub's namespace and those of some hospitals, of one test's own, and what people do and see there."""

from api_documents import document

from consilia_operator.kinds import FEDERATED_JOB, HOSPITAL, HOSPITAL_TASK
from consilia_operator.names import task_name

AUTOMATIC = {"approval": {"mode": "Automatic", "tasks": ["package.module:Task"], "logs": ["kafka.example.org:9092"]}}


class HubAndHospitals:
    """`hospitals` are short names; the namespaces are called HUB-NAME, so that no two tests meet."""

    def __init__(self, cluster, hub, hospitals):
        self.cluster, self.hub = cluster, hub
        self.hospitals = [f"{hub}-{name}" for name in hospitals]
        cluster.namespace(hub)

    def join(self, dataset=None):
        for name in self.hospitals:
            self.cluster.namespace(name, self.hub)
            self.cluster.create(self.made("Dataset", name, dataset or AUTOMATIC))
            self.cluster.create(self.made("Hospital", self.hub, {".metadata.name": name, "accepted": True}))

    def made(self, kind, namespace, changes=None):
        return document(kind, {**(changes or {}), ".metadata.namespace": namespace})

    def until_joined(self, hospital):
        return self.cluster.until_condition(HOSPITAL, self.hub, hospital, "Joined", "KeyShown")

    def apply(self, changes=None):
        names = {"hospitals.names": self.hospitals, "hospitals.minReady": min(2, len(self.hospitals))}
        job = self.cluster.create(self.made("FederatedJob", self.hub, {**names, **(changes or {})}))
        self.task = task_name("study", job["metadata"]["uid"])
        return job

    def get(self, kind, namespace, name):
        return self.cluster.get(kind, namespace, name)

    def job(self):
        return self.get(FEDERATED_JOB, self.hub, "study")

    def until(self, holds):
        return self.cluster.until(holds)

    def until_says(self, of_type, reason):
        return self.cluster.until_condition(FEDERATED_JOB, self.hub, "study", of_type, reason)

    def until_task_says(self, of_type, reason, hospital=0):
        return self.cluster.until_condition(HOSPITAL_TASK, self.hospitals[hospital], self.task, of_type, reason)
