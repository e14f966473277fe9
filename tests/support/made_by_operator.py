"""What the operator makes for a job and for a hospital's part in it, as documents."""

from api_documents import KEY
from observed import shown

from consilia.api import Dataset, HospitalTask
from consilia.wire.identity import PublicKey, Roster
from consilia_operator.manifests import aggregator, trainer
from consilia_operator.manifests.network import LogAddress, address_of
from consilia_operator.settings import OperatorSettings

LOG = {"kafka.json": b'{"bootstrapServers": ["consilia-kafka-0.consilia-kafka.hub.svc:9093"]}', "password": b"geheim"}
ROSTER = Roster(PublicKey.from_text(KEY), {name: PublicKey.from_text(KEY) for name in "abc"}).as_json()
SETTINGS = OperatorSettings.model_validate({"images": {"worker": "worker:1", "kafka": "kafka:1"}})


def of_aggregator(job, running=True, settings=SETTINGS):
    parts = aggregator.AggregatorParts(
        job=job, roster=ROSTER, log=LOG, log_address=address_of(LOG, "cluster.local"), running=running,
        operator_namespace="consilia",
    )  # fmt: skip
    return [
        aggregator.identity(job), aggregator.pinned_roster(job, ROSTER), *aggregator.documents(parts, settings)
    ]  # fmt: skip


def of_trainer(changes=None, source=None, settings=SETTINGS, labels=None, **task):
    document = shown("HospitalTask", {**(changes or {}), ".metadata.namespace": "a"}, labels=labels or {}, **task)
    dataset = shown("Dataset", {"source": source or {"builtin": {}}, "parameters": {"site": "a"}})
    parts = trainer.TrainerParts(
        task=HospitalTask.model_validate(document), document=document, dataset=Dataset.model_validate(dataset),
        log_address=LogAddress("hub"), operator_namespace="consilia", backoff_limit=4,
    )  # fmt: skip
    return [trainer.state_claim(parts, settings), *trainer.documents(parts, settings)]
