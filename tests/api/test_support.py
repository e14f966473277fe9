from pathlib import Path

import pytest
from api_documents import IMAGE, KEY, document

from consilia.api import RESOURCES, FederatedJob
from consilia.api.support import UNSUPPORTED, unsupported
from consilia.manifest import problems

KINDS = {resource.__name__: resource for resource in RESOURCES}
EXAMPLES = Path(__file__).parents[2] / "examples"
QUORUM = {"hospitals": {"names": ["a", "b", "c"], "minReady": 3, "minUpdates": 3}}

# What sets each field that works nowhere yet; more than one where several values are refused.
NOWHERE = (
    (
        "FederatedJob",
        {"rounds": {"count": 1, "mode": "Asynchronous", "bufferSize": 1, "maxStaleness": 0}},
        "spec.rounds.mode",
    ),
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
)

# The same for an offer to a hospital, which no local run takes as such.
OFFERED = tuple(
    ("HospitalTask", {name: changes[name] for name in changes if name != "hospitals"}, path)
    for kind, changes, path in NOWHERE
    if kind == "FederatedJob"
)

# What sets each field that a cluster is needed for.
CLUSTER_ONLY = (
    ("FederatedJob", {"task.image": IMAGE}, "spec.task.image"),
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
    ("Dataset", {"approval": {"mode": "Automatic", "images": [IMAGE]}}, "spec.approval.mode"),
    ("HospitalTask", {}, "spec"),
)
EVERYWHERE = [("Local", kind) for kind in sorted(KINDS.keys() - {"HospitalTask"})]
EVERYWHERE += [("Cluster", kind) for kind in KINDS]


def refused(kind, changes, where):
    """The problems by path."""
    found = unsupported(KINDS[kind].model_validate(document(kind, changes)), where)
    return {problem.path: problem for problem in found}


@pytest.mark.parametrize(
    ("where", "kind", "changes", "path"),
    [
        *((where, *case) for where in ("Local", "Cluster") for case in NOWHERE),
        *(("Cluster", *case) for case in OFFERED),
    ],
)
def test_what_does_not_work_yet_is_refused_and_never_ignored(where, kind, changes, path):
    found = refused(kind, changes, where)
    assert found[path].rule.startswith(f"not supported yet: {path}: ")
    assert found[path].remedy.endswith(".")


@pytest.mark.parametrize(("kind", "changes", "path"), CLUSTER_ONLY)
def test_what_needs_a_cluster_is_refused_in_a_local_run_with_the_way_to_one(kind, changes, path):
    problem = refused(kind, changes, "Local")[path]
    assert problem.rule.startswith(f"not in a local run: {path}: ")
    assert "cluster" in problem.remedy
    assert refused(kind, changes, "Cluster") == {}


def test_every_entry_of_the_table_has_a_case():
    table = {(kind, entry.path) for kind, entries in UNSUPPORTED.items() for entry in entries}
    assert table == {(kind, path) for kind, _, path in (*NOWHERE, *OFFERED, *CLUSTER_ONLY)}


@pytest.mark.parametrize(("where", "kind"), EVERYWHERE)
def test_what_is_left_out_or_at_its_default_is_supported(where, kind):
    small = KINDS[kind].model_validate(document(kind))
    assert unsupported(small, where) == []
    assert unsupported(KINDS[kind].model_validate(small.as_document()), where) == []


def test_the_time_limit_works_already():
    assert (
        unsupported(FederatedJob.model_validate(document("FederatedJob", {"runPolicy.activeDeadlineSeconds": 60})))
        == []
    )


def test_a_kafka_that_asks_for_no_secret_works_already():
    changes = {"transport": {"external": {"bootstrapServers": ["kafka:9092"]}}}
    assert unsupported(FederatedJob.model_validate(document("FederatedJob", changes))) == []


def test_all_that_does_not_work_is_named_at_once():
    changes = {"compression": {"codec": "Int8"}, "transport": {"managed": {}}, "resources": {"gpu": 1}}
    found = unsupported(FederatedJob.model_validate(document("FederatedJob", changes)))
    assert [problem.path for problem in found] == ["spec.compression.codec", "spec.transport.managed", "spec.resources"]


@pytest.mark.parametrize("file", sorted((EXAMPLES / "resources").glob("*.yaml")), ids=lambda file: file.name)
def test_every_example_in_the_reference_works_in_a_cluster_and_says_so_in_a_local_run(file):
    assert problems(file, "Cluster") == []
    assert {problem.rule.partition(":")[0] for problem in problems(file)} == {"not in a local run"}


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.name)
@pytest.mark.parametrize("where", ["Local", "Cluster"])
def test_every_example_job_is_valid_and_supported(file, where):
    assert problems(file, where) == []
