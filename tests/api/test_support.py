from pathlib import Path

import pytest
from api_documents import IMAGE, KEY, document

from consilia.api import RESOURCES, FederatedJob
from consilia.api.support import UNSUPPORTED, unsupported
from consilia.manifest import problems

KINDS = {resource.__name__: resource for resource in RESOURCES}
EXAMPLES = Path(__file__).parents[2] / "examples"
QUORUM = {"hospitals": {"names": ["a", "b", "c"], "minReady": 3, "minUpdates": 3}}

# What sets each field that does not work yet; more than one where several values are refused.
CASES = (
    ("FederatedJob", {"task.image": IMAGE}, "spec.task.image"),
    (
        "FederatedJob",
        {"rounds": {"count": 1, "mode": "Asynchronous", "bufferSize": 1, "maxStaleness": 0}},
        "spec.rounds.mode",
    ),
    ("FederatedJob", {"privacy": {"epsilon": "1"}}, "spec.privacy"),
    *(
        ("FederatedJob", {**QUORUM, "secureAggregation": {"mode": mode}}, "spec.secureAggregation.mode")
        for mode in ("Masking", "ThreeParty", "CKKS", "Paillier")
    ),
    *(
        ("FederatedJob", {"compression": {"codec": codec}}, "spec.compression.codec")
        for codec in ("Float16", "Int8", "TernGrad")
    ),
    *(
        ("FederatedJob", {"compression": {"codec": codec, "ratio": "0.1"}}, "spec.compression.codec")
        for codec in ("TopK", "RandomK", "CountSketch")
    ),
    ("FederatedJob", {"personalization": {"localParameters": ["head.*"]}}, "spec.personalization"),
    ("FederatedJob", {"stream": {"topic": "beds", "trigger": {"records": 1}}}, "spec.stream"),
    ("FederatedJob", {"transport": {"managed": {}}}, "spec.transport.managed"),
    ("FederatedJob", {"transport": {"strimzi": {"cluster": "hub"}}}, "spec.transport.strimzi"),
    (
        "FederatedJob",
        {"transport": {"external": {"bootstrapServers": ["kafka:9092"], "secretRef": {"name": "kafka"}}}},
        "spec.transport.external.secretRef",
    ),
    ("FederatedJob", {"resources": {}}, "spec.resources"),
    ("FederatedJob", {"runPolicy": {"suspend": True}}, "spec.runPolicy.suspend"),
    ("FederatedJob", {"runPolicy": {"schedulingTimeoutSeconds": 1}}, "spec.runPolicy.schedulingTimeoutSeconds"),
    ("FederatedJob", {"runPolicy": {"backoffLimit": 0}}, "spec.runPolicy.backoffLimit"),
    ("FederatedJob", {"runPolicy": {"ttlSecondsAfterFinished": 0}}, "spec.runPolicy.ttlSecondsAfterFinished"),
    ("Hospital", {"accepted": True, "publicKey": KEY}, "spec.accepted"),
    ("Hospital", {"publicKey": KEY}, "spec.publicKey"),
    ("Dataset", {"source": {"persistentVolumeClaim": {"claimName": "a"}}}, "spec.source.persistentVolumeClaim"),
    ("Dataset", {"unit": "Patient"}, "spec.unit"),
    ("Dataset", {"approval": {"mode": "Automatic", "images": [IMAGE]}}, "spec.approval.mode"),
    ("Dataset", {"privacyBudget": {"epsilon": "1", "delta": "1e-5"}}, "spec.privacyBudget"),
    ("HospitalTask", {}, "spec"),
)


@pytest.mark.parametrize(("kind", "changes", "path"), CASES)
def test_what_does_not_work_yet_is_refused_and_never_ignored(kind, changes, path):
    found = {problem.path: problem for problem in unsupported(KINDS[kind].model_validate(document(kind, changes)))}
    assert found[path].rule.startswith(f"not supported yet: {path}: ")
    assert found[path].remedy.endswith(".")


def test_every_entry_of_the_table_has_a_case():
    table = {(kind, entry.path) for kind, entries in UNSUPPORTED.items() for entry in entries}
    assert table == {(kind, path) for kind, _, path in CASES}


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"HospitalTask"}))
def test_what_is_left_out_or_at_its_default_is_supported(kind):
    small = KINDS[kind].model_validate(document(kind))
    assert unsupported(small) == []
    assert unsupported(KINDS[kind].model_validate(small.as_document())) == []


def test_the_time_limit_works_already():
    assert (
        unsupported(FederatedJob.model_validate(document("FederatedJob", {"runPolicy.activeDeadlineSeconds": 60})))
        == []
    )


def test_a_kafka_that_asks_for_no_secret_works_already():
    changes = {"transport": {"external": {"bootstrapServers": ["kafka:9092"]}}}
    assert unsupported(FederatedJob.model_validate(document("FederatedJob", changes))) == []


def test_all_that_does_not_work_is_named_at_once():
    changes = {"privacy": {"epsilon": "1"}, "transport": {"managed": {}}, "resources": {"gpu": 1}}
    found = unsupported(FederatedJob.model_validate(document("FederatedJob", changes)))
    assert [problem.path for problem in found] == ["spec.privacy", "spec.transport.managed", "spec.resources"]


@pytest.mark.parametrize("file", sorted((EXAMPLES / "resources").glob("*.yaml")), ids=lambda file: file.name)
def test_every_example_in_the_reference_is_valid_though_it_waits_for_the_operator(file):
    assert {problem.rule.partition(":")[0] for problem in problems(file)} == {"not supported yet"}


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.name)
def test_every_example_job_is_valid_and_supported(file):
    assert problems(file) == []
