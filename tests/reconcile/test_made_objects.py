"""What the operator makes for a job and for an offer, as documents."""

import json
import re

import pytest
import yaml
from api_documents import IMAGE
from hypothesis import given
from hypothesis import strategies as st
from made_by_operator import LOG, ROSTER, SETTINGS, of_aggregator, of_trainer
from observed import shown
from pages import ROOT, blocks_of, text_of

from consilia.api import Dataset, FederatedJob, HospitalTask
from consilia.wire.config_digest import config_digest
from consilia_operator.manifests import begun_with, inspection, ledger, offer, pod
from consilia_operator.manifests.network import LogAddress, address_of
from consilia_operator.names import (
    BEGUN_WITH,
    COMPONENT,
    JOB,
    JOB_NAMESPACE,
    JOB_UID,
    MANAGED_BY,
    QUEUE,
    RESTING,
    TASK,
    child,
    task_name,
)
from consilia_workers.inspection import InspectionSettings
from consilia_workers.ledger_service import LedgerSettings
from consilia_workers.programs import EXIT_EXHAUSTED, EXIT_FAILED

CLAIM = {"persistentVolumeClaim": {"claimName": "records", "subPath": "2026/heart.csv"}}
JOB_NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def of_offer(job):
    made = offer.Offer(job=job, hospital="a", roster=ROSTER, roster_digest="sha256:" + 64 * "1", withdrawn=False)
    task = offer.hospital_task(made)
    task["metadata"]["uid"] = "uid-of-task"
    return [task, *offer.papers(made, task, LOG)]


def one(documents, kind):
    (found,) = [each for each in documents if each["kind"] == kind]
    return found


def container(document):
    (found,) = document["spec"]["template"]["spec"]["containers"]
    return found


def started_with(documents):
    """The settings that the program reads."""
    found = [each["data"]["settings.json"] for each in documents if "settings.json" in each.get("data", {})]
    return json.loads(found[0])


@given(JOB_NAMES)
def test_whatever_a_job_is_called_the_names_of_its_objects_are_legal_and_do_not_collide(name):
    job = shown("FederatedJob", {".metadata.name": name})
    task = of_offer(job)[0]["metadata"]["name"]
    trainers = of_trainer({".metadata.name": task})
    for made in (of_aggregator(job), of_offer(job), trainers):
        names = [(each["kind"], each["metadata"]["name"]) for each in made]
        assert len(set(names)) == len(names)
        for kind, found in names:
            assert (SERVICE_NAME if kind == "Service" else LABEL).fullmatch(found), (kind, found)
        for each in made:
            assert all(len(value) <= 63 for value in each["metadata"]["labels"].values())


@given(JOB_NAMES, JOB_NAMES, st.sampled_from(["aggregator", "log", "trainer", "roster"]))
def test_shortened_names_keep_apart(one_name, other, suffix):
    assert (child(one_name, suffix) == child(other, suffix)) == (one_name == other)
    assert (task_name(one_name, "1") == task_name(one_name, "2")) is False


def test_everything_is_ours_by_its_labels_and_goes_with_its_owner():
    job = shown("FederatedJob")
    for each in of_aggregator(job):
        assert each["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
        assert each["metadata"]["labels"][JOB_UID] == job["metadata"]["uid"]
        assert each["metadata"]["namespace"] == "hub"
    task, *papers = of_offer(job)
    assert "ownerReferences" not in task["metadata"]  # its owner is in another namespace: it is swept
    for each in [*papers, *of_trainer()]:
        assert each["metadata"]["ownerReferences"][0]["kind"] == "HospitalTask"
        assert each["metadata"]["namespace"] == "a"
        assert each["metadata"]["labels"][TASK]
    assert all(each["metadata"]["labels"][MANAGED_BY] for each in [*of_aggregator(job), task, *papers, *of_trainer()])


@pytest.mark.parametrize("made", [of_aggregator(shown("FederatedJob")), of_trainer(source=CLAIM)])
def test_no_pod_has_a_token_a_right_or_a_root_that_it_can_write(made):
    template = next(each["spec"]["template"] for each in made if "template" in each.get("spec", {}))
    assert template["spec"]["automountServiceAccountToken"] is False
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    (only,) = template["spec"]["containers"]
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert "serviceAccountName" not in template["spec"]


def test_no_secret_stands_where_everybody_may_read():
    made = [*of_aggregator(shown("FederatedJob")), *of_offer(shown("FederatedJob")), *of_trainer()]
    open_ones = json.dumps([each for each in made if each["kind"] != "Secret"])
    assert "geheim" not in open_ones
    assert "PRIVATE KEY" not in open_ones


def test_a_suspended_aggregator_has_no_pod_and_keeps_the_rest():
    running, resting = (of_aggregator(shown("FederatedJob"), running=running) for running in (True, False))
    assert one(running, "Deployment")["spec"]["replicas"] == 1
    assert one(resting, "Deployment")["spec"]["replicas"] == 0
    assert [each["kind"] for each in running] == [each["kind"] for each in resting]


def test_two_aggregators_never_run_side_by_side_and_another_setting_starts_it_anew():
    before, after = (
        one(of_aggregator(shown("FederatedJob", changes)), "Deployment") for changes in ({}, {"rounds.count": 11})
    )
    assert before["spec"]["strategy"] == {"type": "Recreate"}
    assert before["spec"]["template"]["metadata"]["annotations"] != after["spec"]["template"]["metadata"]["annotations"]


def test_how_a_job_is_run_neither_restarts_the_aggregator_nor_makes_another_offer():
    calm, urgent = (
        shown("FederatedJob", {"runPolicy": policy}) for policy in ({}, {"activeDeadlineSeconds": 9, "suspend": True})
    )
    assert of_aggregator(calm)[2:] == of_aggregator(urgent)[2:]
    assert of_offer(calm) == of_offer(urgent)


def test_an_offer_carries_the_digest_that_messages_will_carry():
    job = shown("FederatedJob", {"task": {"entrypoint": "package.module:Task", "image": IMAGE}})
    task = HospitalTask.model_validate(of_offer(job)[0])
    assert task.spec.job.config_digest == config_digest(FederatedJob.model_validate(job))
    assert task.spec.task.image == IMAGE
    assert "decision" not in of_offer(job)[0]["spec"]  # the hospital's to write


@pytest.mark.parametrize(
    ("source", "path", "mount"),
    [
        ({"builtin": {}}, None, None),
        (CLAIM, "/data/heart.csv", {"readOnly": True, "subPath": "2026/heart.csv"}),
        ({"persistentVolumeClaim": {"claimName": "records"}}, "/data", {"readOnly": True}),
        ({"hostPath": {"path": "/srv/heart"}}, "/data/heart", {"readOnly": True}),
        ({"hostPath": {"path": "/"}}, "/data", {"readOnly": True}),
    ],
)
def test_the_data_is_mounted_read_only_where_the_program_looks_for_it(source, path, mount):
    made = of_trainer(source=source)
    found = [each for each in container(one(made, "Job"))["volumeMounts"] if each["name"] == "data"]
    assert started_with(made).get("data") == path
    assert started_with(made)["data_parameters"] == {"site": "a"}
    assert found == ([{"name": "data", "mountPath": path, **mount}] if mount else [])


def test_gpus_are_asked_for_by_their_limit():
    assert container(one(of_trainer({"gpu": 2}), "Job"))["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert "nvidia.com/gpu" not in container(one(of_trainer(), "Job"))["resources"]["limits"]


def test_what_a_job_asks_of_the_cluster_is_merged_into_the_pod():
    asked = {
        "metadata": {"labels": {"kueue.x-k8s.io/priority-class": "low"}},
        "spec": {
            "nodeSelector": {"nvidia.com/gpu.product": "H200"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "runtimeClassName": "nvidia",
            "containers": [{"name": "trainer", "env": [{"name": "TASK_MODE", "value": "x"}],
                            "resources": {"limits": {"nvidia.com/mig-1g.5gb": 1, "cpu": "4"}}}],
        },
    }  # fmt: skip
    made = of_trainer({"podTemplate": asked})
    template = one(made, "Job")["spec"]["template"]
    assert template["spec"]["runtimeClassName"] == "nvidia"
    assert template["spec"]["nodeSelector"] == {"nvidia.com/gpu.product": "H200"}
    assert template["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "low"
    assert container(one(made, "Job"))["resources"]["limits"] == {
        "memory": "8Gi", "nvidia.com/mig-1g.5gb": 1, "cpu": "4",
    }  # fmt: skip
    assert started_with(made)["threads"] == 4


def test_the_queue_that_the_job_names_is_passed_on_to_the_hospital():
    (task,) = (
        each for each in of_offer(shown("FederatedJob", labels={QUEUE: "night"})) if each["kind"] == "HospitalTask"
    )
    assert task["metadata"]["labels"][QUEUE] == "night"


def test_the_queue_that_the_hospital_chose_gets_the_job():
    assert one(of_trainer(labels={QUEUE: "night"}), "Job")["metadata"]["labels"][QUEUE] == "night"
    assert QUEUE not in one(of_trainer(), "Job")["metadata"]["labels"]


@pytest.mark.parametrize(
    ("cpu", "threads"),
    [("500m", 1), ("1500m", 2), ("2", 2), (3, 3), ("2.5", 3), ("1k", 1), ("1e9", 1), ("999999", 256)],
)
def test_there_are_as_many_threads_as_cores_are_asked_for(cpu, threads):
    asked = {"spec": {"containers": [{"name": "trainer", "resources": {"limits": {"cpu": cpu}}}]}}
    assert started_with(of_trainer({"podTemplate": asked}))["threads"] == threads


def test_a_trainer_that_fails_for_good_is_not_started_again_and_an_eviction_is_no_failure():
    spec = one(of_trainer(), "Job")["spec"]
    assert spec["backoffLimit"] == 4
    assert spec["podReplacementPolicy"] == "Failed"
    assert [rule["action"] for rule in spec["podFailurePolicy"]["rules"]] == ["Ignore", "FailJob"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("made", [of_aggregator(shown("FederatedJob")), of_trainer()])
def test_pods_reach_the_log_and_names_and_nothing_else(made):
    spec = one(made, "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    names, log = spec["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert log["ports"] == [{"protocol": "TCP", "port": 9093}]
    assert log["to"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "hub"}


def test_without_network_policies_none_are_made():
    quiet = SETTINGS.model_copy(update={"network_policies": False})
    made = [*of_aggregator(shown("FederatedJob"), settings=quiet), *of_trainer(settings=quiet)]
    assert "NetworkPolicy" not in {each["kind"] for each in made}


@pytest.mark.parametrize(
    ("servers", "namespace", "ports"),
    [
        (["consilia-kafka-0.consilia-kafka.hub.svc:9093"], "hub", (9093,)),
        (["consilia-kafka-0.consilia-kafka.hub.svc.cluster.local:9093"] * 3, "hub", (9093,)),
        (["consilia-kafka.hub.svc:9093"], "hub", (9093,)),
        (["kafka.example.org:9092", "kafka.example.org:9094"], "", (9092, 9094)),
        (["[2001:db8::1]:9093"], "", (9093,)),
        (["my-cluster-kafka-bootstrap.strimzi.svc:9093"], "", (9093,)),
        (["consilia-kafka.example.org:9093"], "", (9093,)),
        (["consilia-kafka-kafka-bootstrap.hub.svc:9093"], "", (9093,)),
        (["consilia-kafka.hub.svc:9093", "consilia-kafka.other.svc:9093"], "", (9093,)),
    ],
)
def test_an_address_is_of_managed_kafka_or_elsewhere(servers, namespace, ports):
    assert address_of({"kafka.json": json.dumps({"bootstrapServers": servers}).encode()}, "cluster.local") == (
        LogAddress(namespace, ports)
    )


def test_what_a_program_was_begun_with_is_recalled_and_rubbish_is_passed_over():
    job = shown("FederatedJob")
    deployment = one(of_aggregator(job), "Deployment")
    newer = SETTINGS.model_copy(update={"images": SETTINGS.images.model_copy(update={"worker": "worker:2"})})
    recalled = begun_with.recalled(newer, "aggregator", deployment)
    assert recalled == SETTINGS
    assert one(of_aggregator(job, settings=recalled), "Deployment") == deployment
    for rubbish in ("", "null", "{}", '{"image": 5}', "["):
        deployment["metadata"]["annotations"] = {BEGUN_WITH: rubbish}
        assert begun_with.recalled(newer, "aggregator", deployment) == newer
    assert begun_with.recalled(newer, "trainer", None) == newer


def test_a_trainer_is_found_by_its_job_as_the_aggregator_is():
    labels = one(of_trainer(), "Job")["spec"]["template"]["metadata"]["labels"]
    job = shown("HospitalTask")["spec"]["job"]
    assert (labels[JOB], labels[JOB_NAMESPACE]) == (job["name"], job.get("namespace", "a"))


def of_ledger(settings=SETTINGS):
    return [ledger.claim("a", settings), *ledger.documents("a", settings, "consilia")]


def of_inspection(settings=SETTINGS):
    document = shown("Dataset", {"source": CLAIM, ".metadata.namespace": "a"})
    parts = inspection.InspectionParts(
        dataset=Dataset.model_validate(document), document=document,
        data=pod.data(Dataset.model_validate(document).spec.source),
    )  # fmt: skip
    return inspection.documents(parts, settings)


def test_a_ledger_is_nobodys_and_its_claim_stays_as_it_was_made():
    made = of_ledger()
    assert {each["metadata"]["name"] for each in made} == {"consilia-ledger"}
    assert all("ownerReferences" not in each["metadata"] for each in made)
    assert one(made, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert one(made, "PersistentVolumeClaim")["spec"]["resources"]["requests"]["storage"] == "1Gi"
    LedgerSettings.model_validate(started_with(made))


def test_a_ledger_is_asked_by_trainers_inspections_and_the_operator_and_asks_nobody():
    made = of_ledger()
    policy = one(made, "NetworkPolicy")["spec"]
    assert policy["egress"] == []
    ours, others = policy["ingress"]
    assert [each["podSelector"]["matchLabels"][COMPONENT] for each in ours["from"]] == ["trainer", "inspection"]
    assert all(set(each) == {"podSelector"} for each in ours["from"]), "of its own namespace"
    operators, _ = others["from"]
    assert operators["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "consilia"}
    (port,) = one(made, "Service")["spec"]["ports"]
    (served,) = container(one(made, "Deployment"))["ports"]
    assert port["port"] == served["containerPort"] == started_with(made)["port"] == 8085


@pytest.mark.parametrize("made", [of_ledger(), of_inspection()], ids=["ledger", "inspection"])
def test_what_sees_data_or_keeps_the_ledger_may_do_nothing_else(made):
    template = next(each["spec"]["template"] for each in made if "template" in each.get("spec", {}))
    assert template["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in template["spec"]
    (only,) = template["spec"]["containers"]
    assert only["securityContext"]["readOnlyRootFilesystem"] is True
    assert "log" not in {volume["name"] for volume in template["spec"]["volumes"]}


def test_the_pod_by_which_a_ledger_is_restored_sees_what_the_ledgers_own_sees():
    guide = ROOT / "docs" / "guides" / "ledger.md"
    (shown,) = (block.text for block in blocks_of(guide) if block.title == "ledger-recovery.yaml")
    ours, its = yaml.safe_load(shown)["spec"], one(of_ledger(), "Deployment")["spec"]["template"]["spec"]
    assert ours["securityContext"] == its["securityContext"]
    assert ours["containers"][0]["securityContext"] == its["containers"][0]["securityContext"]
    for field, inside in (("volumes", its), ("volumeMounts", its["containers"][0])):
        here = ours if field == "volumes" else ours["containers"][0]
        assert here[field] == [each for each in inside[field] if each["name"] != "config"]
    assert started_with(of_ledger())["folder"] in text_of(guide)
    assert f"deployment consilia-ledger {RESTING}=" in text_of(guide)


def test_an_inspection_sees_the_data_read_only_and_reaches_the_ledger_alone():
    made = of_inspection()
    (mounted,) = [each for each in container(one(made, "Job"))["volumeMounts"] if each["name"] == "data"]
    assert mounted["readOnly"] is True
    policy = one(made, "NetworkPolicy")["spec"]
    assert policy["ingress"] == []
    names, asked = policy["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert asked == ledger.egress()
    InspectionSettings.model_validate(started_with(made))


def test_a_private_trainer_reaches_its_ledger_and_another_does_not():
    private, plain = (of_trainer({"privacy": {"epsilon": "1"}}), of_trainer())
    assert one(private, "NetworkPolicy")["spec"]["egress"][2:] == [ledger.egress()]
    assert len(one(plain, "NetworkPolicy")["spec"]["egress"]) == 2
    assert started_with(private)["ledger"] == "http://consilia-ledger.a.svc:8085"
    assert "ledger" not in started_with(plain)


@pytest.mark.parametrize(
    ("job", "codes"),
    [({"privacy": {"epsilon": "1"}}, [EXIT_FAILED, EXIT_EXHAUSTED]), ({}, [EXIT_FAILED])],
    ids=["private", "as before there were budgets"],
)
def test_a_trainer_whose_budget_is_spent_is_not_started_again(job, codes):
    rules = one(of_trainer(job), "Job")["spec"]["podFailurePolicy"]["rules"]
    assert rules[1]["onExitCodes"]["values"] == codes
