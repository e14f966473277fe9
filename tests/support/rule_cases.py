"""For every rule of the API an object that breaks it: kind, changes of a valid document, how the message begins."""

from typing import Any

from api_documents import ABSENT, IMAGE, KEY, OTHER_KEY, REQUEST

QUORUM = {"hospitals.minReady": 3, "hospitals.minUpdates": 3}
MASKING = {**QUORUM, "secureAggregation.mode": "Masking"}

RULE_CASES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("FederatedJob", {"training.optimizer": {"learningRate": "0"}}, "must be above 0"),
    ("FederatedJob", {"training.optimizer": {"weightDecay": "-1"}}, "must be 0 or more"),
    ("FederatedJob", {"training.optimizer": {"momentum": "1"}}, "must be 0 or more and below 1"),
    ("FederatedJob", {"training.scheduler": {"name": "Step", "gamma": "1.1"}}, "must be above 0 and at most 1"),
    ("FederatedJob", {"privacy": {"epsilon": "1", "delta": "1"}}, "must be above 0 and below 1"),
    ("FederatedJob", {"hospitals.names": ABSENT}, "hospitals needs exactly one of names and selector"),
    (
        "FederatedJob",
        {"hospitals.selector": {"matchLabels": {"a": "b"}}},
        "hospitals needs exactly one of names and selector",
    ),
    ("FederatedJob", {"hospitals.minUpdates": 3}, "minUpdates must not exceed minReady"),
    ("FederatedJob", {"hospitals.minReady": 4}, "minReady must not exceed the number of hospitals named"),
    ("FederatedJob", {"rounds.mode": "Asynchronous"}, "mode Asynchronous needs bufferSize and maxStaleness"),
    ("FederatedJob", {"rounds.bufferSize": 3}, "bufferSize and maxStaleness have no effect in mode Synchronous"),
    (
        "FederatedJob",
        {"evaluation.stopWhen": [{"metric": "auc", "operator": "GreaterOrEqual", "value": "0.9"}]},
        "stopWhen names a metric that is not evaluated",
    ),
    (
        "FederatedJob",
        {
            "evaluation": {
                "everyRounds": 0,
                "stopWhen": [{"metric": "loss", "operator": "LessOrEqual", "value": "-0.1"}],
            }
        },
        "stopWhen has no effect where only the final model is evaluated",
    ),
    (
        "FederatedJob",
        {"training.optimizer": {"name": "Adam", "momentum": "0.9"}},
        "momentum has an effect with SGD and RMSprop",
    ),
    ("FederatedJob", {"training.optimizer": {"nesterov": True}}, "nesterov needs SGD with momentum above 0"),
    (
        "FederatedJob",
        {"training.optimizer": {"beta2": "0.99"}},
        "beta1 and beta2 have an effect with Adam and AdamW only",
    ),
    ("FederatedJob", {"training.scheduler": {"name": "Exponential"}}, "Step and Exponential need a gamma below 1"),
    ("FederatedJob", {"training.scheduler": {"gamma": "0.9"}}, "Step and Exponential need a gamma below 1"),
    (
        "FederatedJob",
        {"training.scheduler": {"name": "Cosine", "stepRounds": 2}},
        "stepRounds has an effect with Step only",
    ),
    ("FederatedJob", {"training.scheduler": {"minimumFactor": "0.1"}}, "minimumFactor has no effect with Constant"),
    (
        "FederatedJob",
        {"training.scheduler": {"warmupRounds": 10}},
        "training.scheduler.warmupRounds must be below rounds.count",
    ),
    (
        "FederatedJob",
        {"training": {"localEpochs": 1, "localSteps": 1}},
        "training takes localEpochs or localSteps, not both",
    ),
    ("FederatedJob", {"training": {"device": "CPU", "precision": "Float16"}}, "precision Float16 needs a GPU"),
    ("FederatedJob", {"aggregation.serverOptimizer": {}}, "serverOptimizer has an effect with FedAvgM"),
    (
        "FederatedJob",
        {"aggregation": {"strategy": "FedAdam", "serverOptimizer": {"momentum": "0.9"}}},
        "serverOptimizer.momentum has an effect with FedAvgM only",
    ),
    (
        "FederatedJob",
        {"aggregation": {"strategy": "FedAdagrad", "serverOptimizer": {"beta1": "0.9"}}},
        "serverOptimizer.beta1 and beta2 have an effect with FedAdam and FedYogi only",
    ),
    (
        "FederatedJob",
        {"aggregation": {"strategy": "FedAvgM", "serverOptimizer": {"tau": "0.1"}}},
        "serverOptimizer.tau has no effect with FedAvgM",
    ),
    ("FederatedJob", {"aggregation.trimFraction": "0.2"}, "trimFraction must be above 0 and below 0.5"),
    (
        "FederatedJob",
        {"aggregation": {"strategy": "TrimmedMean", "trimFraction": "0.5"}},
        "trimFraction must be above 0 and below 0.5",
    ),
    ("FederatedJob", {"aggregation.strategy": "TrimmedMean"}, "TrimmedMean would trim nothing"),
    ("FederatedJob", {"aggregation.strategy": "Krum"}, "Krum and MultiKrum need byzantineHospitals"),
    ("FederatedJob", {"aggregation.byzantineHospitals": 1}, "Krum and MultiKrum need byzantineHospitals"),
    ("FederatedJob", {"aggregation.selectedHospitals": 2}, "MultiKrum needs selectedHospitals of 2 or more"),
    (
        "FederatedJob",
        {"hospitals": {"names": ["a", "b"], "minReady": 2, "minUpdates": 2}, "aggregation.strategy": "Median"},
        "the Median of fewer than three updates is their mean",
    ),
    (
        "FederatedJob",
        {"aggregation": {"strategy": "Krum", "byzantineHospitals": 1}},
        "Krum and MultiKrum need hospitals.minUpdates of at least 2 * byzantineHospitals + 3",
    ),
    (
        "FederatedJob",
        {
            "hospitals": {"names": list("abcde"), "minReady": 5, "minUpdates": 5},
            "aggregation": {"strategy": "MultiKrum", "byzantineHospitals": 1, "selectedHospitals": 3},
        },
        "MultiKrum may select at most hospitals.minUpdates - byzantineHospitals - 2 updates",
    ),
    ("FederatedJob", {"aggregation.strategy": "FedProx"}, "strategy FedProx needs training.proximalMu"),
    ("FederatedJob", {**MASKING, "aggregation.strategy": "Median"}, "a robust strategy must see single updates"),
    (
        "FederatedJob",
        {**MASKING, "compression": {"codec": "TopK", "ratio": "0.1"}},
        "TopK and TernGrad cannot be summed unseen",
    ),
    ("FederatedJob", {**MASKING, "hospitals.minUpdates": 2}, "with two hospitals each can subtract its own update"),
    (
        "FederatedJob",
        {**MASKING, "secureAggregation.threshold": 4},
        "secureAggregation.threshold must not exceed hospitals.minUpdates",
    ),
    ("FederatedJob", {"secureAggregation.threshold": 2}, "threshold has an effect with mode Masking only"),
    (
        "FederatedJob",
        {**MASKING, "rounds": {"count": 1, "mode": "Asynchronous", "bufferSize": 1, "maxStaleness": 1}},
        "masks cancel only among hospitals of the same round",
    ),
    ("FederatedJob", {"compression": {"codec": "RandomK"}}, "TopK, RandomK and CountSketch need ratio"),
    ("FederatedJob", {"compression": {"ratio": "0.1"}}, "TopK, RandomK and CountSketch need ratio"),
    ("FederatedJob", {"privacy": {}}, "privacy needs exactly one of epsilon and noiseMultiplier"),
    (
        "FederatedJob",
        {"privacy": {"epsilon": "1", "noiseMultiplier": "1"}},
        "privacy needs exactly one of epsilon and noiseMultiplier",
    ),
    *(
        ("FederatedJob", {"privacy": privacy}, "must be at least 0.05 and at most 1000000")
        for privacy in (
            {"noiseMultiplier": "1e-17"},
            {"noiseMultiplier": "0.049"},
            {"noiseMultiplier": "1000001"},
            {"epsilon": "1", "evaluation": "Charged", "evaluationNoise": "1e7"},
        )
    ),
    (
        "FederatedJob",
        {"privacy": {"epsilon": "1", "sampleRate": "0.1", "mechanism": "Laplace"}},
        "sampleRate has an effect with mechanism DPSGD only",
    ),
    (
        "FederatedJob",
        {"privacy": {"epsilon": "1", "evaluationNoise": "10"}},
        "evaluationNoise has an effect with evaluation Charged only",
    ),
    (
        "FederatedJob",
        {"privacy": {"epsilon": "1", "evaluation": "Charged", "mechanism": "Gaussian"}},
        "with Gaussian and Laplace the task's own code computes metrics",
    ),
    (
        "FederatedJob",
        {"privacy": {"epsilon": "1", "evaluation": "Charged", "unit": "Patient"}},
        "a charged evaluation counts records, so it cannot hide patients with several",
    ),
    (
        "FederatedJob",
        {
            "privacy": {"epsilon": "1"},
            "evaluation.stopWhen": [{"metric": "loss", "operator": "LessOrEqual", "value": "0.1"}],
        },
        "stopWhen needs metrics, which stay in the hospitals with privacy.evaluation Local",
    ),
    (
        "FederatedJob",
        {"privacy": {"epsilon": "1"}, "training.precision": "BFloat16"},
        "DPSGD clips gradients in float32",
    ),
    ("FederatedJob", {"transport": {}}, "transport needs exactly one of managed, strimzi and external"),
    (
        "FederatedJob",
        {"transport": {"managed": {}, "strimzi": {"cluster": "kafka"}}},
        "transport needs exactly one of managed, strimzi and external",
    ),
    ("FederatedJob", {"stream": {"topic": "beds", "trigger": {}}}, "trigger needs records, seconds or both"),
    ("FederatedJob", {"transport": {"managed": {"brokers": 2}}}, "must be 1 or 3"),
    ("Dataset", {"source": {}}, "source needs exactly one of persistentVolumeClaim, hostPath and builtin"),
    (
        "Dataset",
        {"source": {"builtin": {}, "hostPath": {"path": "/data"}}},
        "source needs exactly one of persistentVolumeClaim, hostPath and builtin",
    ),
    ("Dataset", {"approval": {"mode": "Automatic"}}, "mode Automatic needs images or tasks to approve"),
    ("Dataset", {"approval": {"images": [IMAGE]}}, "mode Automatic needs images or tasks to approve"),
    ("Dataset", {"privacyBudget": {"epsilon": "1", "delta": "1e-5"}}, "privacyBudget needs publicSize"),
    ("Dataset", {"approval": {"hours": {"begin": "08:00", "end": "08:00"}}}, "begin and end are the same time"),
    ("Hospital", {"cluster": "Own"}, "a hospital with a cluster of its own needs publicKey and certificateRequest"),
    (
        "Hospital",
        {"cluster": "Own", "publicKey": KEY},
        "a hospital with a cluster of its own needs publicKey and certificateRequest",
    ),
)

_TASK_FIXED: dict[str, Any] = {
    "job": {"name": "study", "uid": "2", "configDigest": "sha256:" + 64 * "0"},
    "hospital": "b",
    "dataset": "others",
    "task": {"entrypoint": "package.module:Other"},
    "rounds": {"count": 11},
    "training": {"batchSize": 1},
    "evaluation": {"everyRounds": 2},
    "personalization": {"localParameters": ["head.*"]},
    "privacy": {"epsilon": "1"},
    "secureAggregation": {"mode": "CKKS"},
    "compression": {"codec": "Int8"},
    "stream": {"topic": "beds", "trigger": {"records": 1}},
    "gpu": 1,
    "podTemplate": {"spec": {"runtimeClassName": "nvidia"}},
}
_JOB_FIXED: dict[str, Any] = {
    **{name: value for name, value in _TASK_FIXED.items() if name not in {"job", "hospital", "gpu", "podTemplate"}},
    "secureAggregation": {"mode": "CKKS"},
    "hospitals": {"names": ["a", "b", "d"], "minReady": 3, "minUpdates": 3},
    "aggregation": {"strategy": "Median"},
    "transport": {"managed": {}},
    "resources": {"gpu": 1},
}


def _budget(**changes: Any) -> dict[str, Any]:
    return {"publicSize": 100, "privacyBudget": {"epsilon": "1", "delta": "1e-5", **changes}}


TRANSITION_CASES: tuple[tuple[str, dict[str, Any], dict[str, Any], str], ...] = (
    *(
        ("FederatedJob", QUORUM, {**QUORUM, name: value}, f"{name} cannot be changed")
        for name, value in _JOB_FIXED.items()
    ),
    *(
        ("FederatedJob", {**QUORUM, name: value}, QUORUM, f"{name} cannot be changed")
        for name, value in _JOB_FIXED.items()
    ),
    *(("HospitalTask", {}, {name: value}, f"{name} cannot be changed") for name, value in _TASK_FIXED.items()),
    ("HospitalTask", {"decision": "Denied"}, {"decision": "Approved"}, "a denial is final"),
    *(
        ("Hospital", {"accepted": True, "publicKey": KEY}, after, "the publicKey of an accepted hospital")
        for after in ({"accepted": True, "publicKey": OTHER_KEY}, {"accepted": True})
    ),
    ("Hospital", {}, {"cluster": "Own", "publicKey": KEY, "certificateRequest": REQUEST}, "cluster cannot be changed"),
    ("Dataset", {}, {"unit": "Patient"}, "unit cannot be changed"),
    ("Dataset", _budget(), {"publicSize": 100}, "privacyBudget cannot be removed"),
    ("Dataset", _budget(), _budget(epsilon="1.5"), "epsilon may be lowered, and raised with an approval"),
    (
        "Dataset",
        _budget(),
        _budget(epsilon="1.5", approval={"epsilon": "2", "by": "Board", "reason": "new cohort"}),
        "epsilon may be lowered, and raised with an approval",
    ),
    *(
        (
            "Dataset",
            _budget(epsilonPerJob="0.5"),
            _budget(**more),
            "epsilonPerJob may be lowered, and raised or removed",
        )
        for more in (
            {},
            {"epsilonPerJob": "0.6"},
            {"epsilonPerJob": "0.6", "approval": {"epsilon": "2", "by": "Board", "reason": "of another budget"}},
        )
    ),
    ("Dataset", _budget(), _budget(delta="1e-6"), "delta cannot be changed"),
)
"""Kind, the document before, the document after, how the message begins."""

ALLOWED_CHANGES: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("FederatedJob", {}, {"runPolicy": {"suspend": True}}),
    ("FederatedJob", {}, {".metadata.labels": {"ward": "4"}}),
    ("Hospital", {}, {"accepted": True, "publicKey": KEY}),
    ("Hospital", {"accepted": True}, {"accepted": True, "publicKey": KEY}),
    ("Hospital", {"accepted": True, "publicKey": KEY}, {"publicKey": OTHER_KEY}),
    ("Hospital", {"publicKey": KEY}, {"accepted": True, "publicKey": OTHER_KEY}),
    ("Dataset", _budget(), _budget(epsilon="0.5")),
    (
        "Dataset",
        _budget(),
        _budget(epsilon="1.5", approval={"epsilon": "1.5", "by": "Board", "reason": "new cohort"}),
    ),
    *(
        (
            "Dataset",
            _budget(epsilonPerJob="0.5"),
            _budget(approval={"epsilon": "1.0", "by": "Board", "reason": "longer jobs"}, **more),
        )
        for more in ({}, {"epsilonPerJob": "0.6"})
    ),
    ("Dataset", _budget(), _budget(epsilonPerJob="0.5")),
    ("Dataset", _budget(epsilonPerJob="0.5"), _budget(epsilonPerJob="0.4")),
    ("Dataset", {}, {"source": {"hostPath": {"path": "/data"}}}),
    ("HospitalTask", {}, {"decision": "Approved"}),
    ("HospitalTask", {"decision": "Approved"}, {"decision": "Denied"}),
    ("HospitalTask", {}, {"suspend": True}),
)
