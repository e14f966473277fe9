"""`consilia ledger forecast`: what a job would cost, before anybody approves it."""

import json

import pytest
from api_documents import document
from ledger_commands import consilia, lines_of, spent_ledger
from ledgers import HOSPITAL, account_of, open_ledger, reserve

from consilia.errors import ManifestError, RunError
from consilia.manifest.checking import check_text
from consilia.manifest.yaml_document import write_document
from consilia.privacy.plan import make_plan


@pytest.fixture
def ledger(tmp_path):
    return spent_ledger(tmp_path / "ledger")[0]


def job_file(folder, *more, **privacy):
    """A job of ten rounds, and what stands beside it in the file."""
    training, privacy = {"batchSize": 20, "localEpochs": 1}, {"epsilon": "1.5", **privacy}
    job = document("FederatedJob", {"rounds.count": 10, "training": training, "privacy": privacy})
    path = folder / "job.yaml"
    path.write_text("---\n".join(write_document(each) for each in (job, *more)))
    return path


def test_a_job_is_forecast_as_the_ledger_would_admit_it(ledger, tmp_path):
    before = lines_of(ledger)
    result = consilia("forecast", ledger.folder, job_file(tmp_path), "--dataset", "heart", "--units", 257, "--json")
    found = json.loads(result.output)

    assert (result.exit_code, found["admitted"], found["affords"]) == (0, True, 10)
    assert (found["units"], found["sampleRate"], found["steps"]) == (250, 0.08, 13)
    assert found["epsilonTightest"] < found["epsilon"] <= found["epsilonCounted"] < found["countedAfter"] <= 3
    assert lines_of(ledger) == before


def test_a_job_that_is_too_dear_is_told_how_many_rounds_there_are(ledger, tmp_path):
    job = job_file(tmp_path, epsilon="2.9")
    result = consilia("forecast", ledger.folder, job, "--dataset", "heart", "--units", 250)
    found = json.loads(consilia("forecast", ledger.folder, job, "--dataset", "heart", "--units", 250, "--json").output)

    assert (result.exit_code, found["admitted"]) == (3, False)
    assert 0 < found["affords"] < 10
    assert f"rounds affordable     {found['affords']} of 10\nNot admitted: the budget of ε = 3" in result.output


def test_what_the_job_has_spent_and_was_promised_is_part_of_it(tmp_path):
    ledger = open_ledger(tmp_path / "fresh")
    account, path = account_of(ledger), job_file(tmp_path, epsilon="2.9")
    (job,) = check_text(path.read_text(), "Cluster").resources
    ledger.admit(account, job.log_name, make_plan(job.spec, 250))
    reserve(ledger, account, job.log_name, mechanism=make_plan(job.spec, 250).training)

    assert consilia("forecast", ledger.folder, path, "--dataset", "heart", "--units", 250).exit_code == 0


def published(size, namespace=HOSPITAL):
    metadata = {"name": "heart", "namespace": namespace}
    spec = {"source": {"builtin": {}}, "publicSize": size}
    return {"apiVersion": "consilia.dev/v1alpha1", "kind": "Dataset", "metadata": metadata, "spec": spec}


def test_the_size_is_that_of_the_hospitals_own_dataset_in_the_file(ledger, tmp_path):
    job = job_file(tmp_path, published(90, "lakeview"), published(400))
    assert "heart, size 400" in consilia("forecast", ledger.folder, job, "--dataset", "heart").output
    with pytest.raises(RunError, match=r"nothing says it\. Give --units"):
        consilia("forecast", ledger.folder, job_file(tmp_path), "--dataset", "heart")


@pytest.mark.parametrize("privacy", [{"mechanism": "Gaussian"}, {"mechanism": "Laplace"}, {"sampleRate": "0.1"}])
def test_no_size_is_asked_for_where_nothing_depends_on_it(ledger, tmp_path, privacy):
    job = job_file(tmp_path, **privacy)
    assert "data set              heart\n" in consilia("forecast", ledger.folder, job, "--dataset", "heart").output


def test_a_job_for_which_no_budget_can_pay_is_no_forecast(ledger, tmp_path):
    def forecast(path):
        return consilia("forecast", ledger.folder, path, "--dataset", "heart", "--units", 250)

    with pytest.raises(ManifestError, match="hides each Patient, and the budget of heart counts each Record"):
        forecast(job_file(tmp_path, unit="Patient"))
    (tmp_path / "open.yaml").write_text(write_document(document("FederatedJob", {})))
    with pytest.raises(ManifestError, match="asks for no privacy"):
        forecast(tmp_path / "open.yaml")
    with pytest.raises(ManifestError, match="has 1 problem"):
        forecast(tmp_path / "nowhere.yaml")


def test_hardly_any_noise_is_told_and_not_looked_into_for_minutes(ledger, tmp_path):
    job = job_file(tmp_path, epsilon=None, noiseMultiplier="0.1")
    result = consilia("forecast", ledger.folder, job, "--dataset", "heart", "--units", 250)
    assert result.exit_code == 3
    assert "tighter, by PLD       -\n" in result.output
