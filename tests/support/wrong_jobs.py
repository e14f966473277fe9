"""Jobs that people get wrong: what they wrote, and what they are told when they apply it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api_documents import ABSENT, document

AUC = {"metric": "auc", "operator": "GreaterOrEqual", "value": "0.9"}
THREE = {"names": ["a", "b", "c"], "minReady": 3, "minUpdates": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongJob:
    """One job that the API server refuses."""

    name: str
    """What is wrong, as a sentence goes on after `a job`."""
    changes: Mapping[str, Any]
    """Of the small valid job, as `api_documents.document` takes them."""
    told: str
    """What the API server's answer says among other things."""

    @property
    def document(self) -> dict[str, Any]:
        """What is applied."""
        return document("FederatedJob", self.changes)


def _job(name: str, changes: Mapping[str, Any], told: str) -> WrongJob:
    return WrongJob(name=name, changes=changes, told=told)


MISSING = (
    _job("without a spec", {".spec": ABSENT}, "spec: Required value"),
    _job("whose spec is empty", {".spec": {}}, "spec.task: Required value"),
    _job("without a task", {"task": ABSENT}, "spec.task: Required value"),
    _job("without an entrypoint", {"task": {}}, "spec.task.entrypoint: Required value"),
    _job("without a data set", {"dataset": ABSENT}, "spec.dataset: Required value"),
    _job("without hospitals", {"hospitals": ABSENT}, "spec.hospitals: Required value"),
    _job("that names no hospital", {"hospitals": {"names": []}}, "should have at least 1 items"),
    _job("without a number of rounds", {"rounds": {}}, "spec.rounds.count: Required value"),
)
WRONG_TYPE = (
    _job("whose name is no label", {".metadata.name": "heart.disease"}, "metadata.name must be an RFC 1123 label"),
    _job("whose name is too long", {".metadata.name": 64 * "a"}, "at most 63 characters"),
    _job("of a version that there is not", {".apiVersion": "consilia.dev/v1"}, 'v1"'),
    _job("with a field that is misspelt", {"rounds": {"cuont": 10, "count": 10}}, 'unknown field "spec.rounds.cuont"'),
    _job("with a field in the wrong place", {"rounds.localEpochs": 1}, 'unknown field "spec.rounds.localEpochs"'),
    _job("with rounds as text", {"rounds.count": "10"}, 'must be of type integer: "string"'),
    _job("with half a round", {"rounds.count": 1.5}, "spec.rounds.count in body must be of type int"),
    _job("with a learning rate as a number", {"training.optimizer": {"learningRate": 0.1}}, "must be of type string"),
    _job("with yes for true", {"runPolicy.suspend": "yes"}, 'must be of type boolean: "string"'),
    _job("with one hospital for a list", {"hospitals.names": "a"}, 'must be of type array: "string"'),
    _job("with a file for an entrypoint", {"task.entrypoint": "task.py"}, "spec.task.entrypoint: Invalid value"),
    _job("with an image by its tag", {"task.image": "registry.example/task:1"}, "spec.task.image: Invalid value"),
    _job("with an upper-case hospital", {"hospitals.names": ["A", "b"]}, "spec.hospitals.names[0]: Invalid value"),
)
OUT_OF_BOUNDS = (
    _job("of no rounds", {"rounds.count": 0}, "should be greater than or equal to 1"),
    _job("of too many rounds", {"rounds.count": 100_001}, "should be less than or equal to 100000"),
    _job("with a round of no time", {"rounds.deadlineSeconds": 0}, "spec.rounds.deadlineSeconds: Invalid value"),
    _job("with a learning rate of 0", {"training.optimizer": {"learningRate": "0"}}, "must be above 0"),
    _job("with a strategy of somebody else's", {"aggregation.strategy": "FedNova"}, 'Unsupported value: "FedNova"'),
    _job("for a TPU", {"training.device": "TPU"}, 'Unsupported value: "TPU"'),
    _job("with a hospital twice", {"hospitals.names": ["a", "b", "a"]}, 'Duplicate value: "a"'),
    _job("with a metric twice", {"evaluation.metrics": ["auc", "auc"]}, 'Duplicate value: "auc"'),
    _job("with too many hospitals", {"hospitals.names": [f"h{i}" for i in range(257)]}, "must have at most 256 items"),
    _job("with too many GPUs", {"resources": {"gpu": 65}}, "should be less than or equal to 64"),
    _job("with two brokers", {"transport": {"managed": {"brokers": 2}}}, "must be 1 or 3; write 3 to go on"),
    _job("with a disk of no size", {"transport": {"managed": {"storage": "big"}}}, "storage: Invalid value"),
)
CONTRADICTION = (
    _job(
        "that needs more updates than hospitals that are ready",
        {"hospitals": {"names": ["a", "b", "c"], "minReady": 2, "minUpdates": 3}},
        "minUpdates must not exceed minReady; lower minUpdates or raise minReady",
    ),
    _job("that waits for more hospitals than it names", {"hospitals.minReady": 4}, "the number of hospitals named"),
    _job(
        "with hospitals by name and by label",
        {"hospitals.selector": {"matchLabels": {"region": "north"}}},
        "hospitals needs exactly one of names and selector",
    ),
    _job("with epochs and steps", {"training": {"localEpochs": 1, "localSteps": 9}}, "localEpochs or localSteps"),
    _job("with FedProx and no mu", {"aggregation.strategy": "FedProx"}, "FedProx needs training.proximalMu"),
    _job("with Adam and momentum", {"training.optimizer": {"name": "Adam", "momentum": "0.9"}}, "SGD and RMSprop only"),
    _job("with half precision on a CPU", {"training": {"device": "CPU", "precision": "Float16"}}, "needs a GPU"),
    _job("that stops at what it does not measure", {"evaluation.stopWhen": [AUC]}, "a metric that is not evaluated"),
    _job("with the median of two", {"hospitals.minUpdates": 2, "aggregation.strategy": "Median"}, "is their mean"),
    _job(
        "with a robust strategy under masks",
        {"hospitals": THREE, "aggregation.strategy": "Median", "secureAggregation.mode": "Masking"},
        "a robust strategy must see single updates",
    ),
    _job(
        "with top-k under masks",
        {
            "hospitals": THREE,
            "compression": {"codec": "TopK", "ratio": "0.1"},
            "secureAggregation.mode": "Masking",
        },
        "cannot be summed unseen",
    ),
    _job(
        "with masks among two",
        {"hospitals.minUpdates": 2, "secureAggregation.mode": "Masking"},
        "each can subtract its own update",
    ),
    _job("with both budgets", {"privacy": {"epsilon": "1", "noiseMultiplier": "1"}}, "exactly one of epsilon"),
    _job("that is asynchronous by half", {"rounds.mode": "Asynchronous"}, "needs bufferSize and maxStaleness"),
    _job("with no transport in transport", {"transport": {}}, "exactly one of managed, strimzi and external"),
    _job(
        "with two transports",
        {"transport": {"managed": {}, "external": {"bootstrapServers": ["kafka:9092"]}}},
        "keep one of them",
    ),
)

WRONG_JOBS = (*MISSING, *WRONG_TYPE, *OUT_OF_BOUNDS, *CONTRADICTION)
