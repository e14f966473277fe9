import json

import pytest
from pydantic import ValidationError

from consilia.errors import RunError
from consilia_workers.report.results import RefusedResult, Report


def test_a_saved_report_reads_back_the_same(make, tmp_path):
    refused = RefusedResult(hospital="hilltop", reason="Forged", message="not signed")
    rounds = [make.round(1, {"hilltop": {"auc": 0.1 + 0.2}}, refused=[refused], dropped=["lakeview"])]
    report = make.report([make.seed(1, rounds=rounds), make.failed_seed(2, rounds=1)])
    report.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == report


def test_saving_leaves_nothing_but_the_report(make, tmp_path):
    make.report([make.seed(1)]).save(tmp_path / "report.json")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_missing_report_says_what_to_do(tmp_path):
    with pytest.raises(
        RunError, match=r"report\.json cannot be read: No such file.* Name the folder of a finished run"
    ):
        Report.load(tmp_path / "report.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda fields: fields.pop("job"), "job: Field required"),
        (lambda fields: fields.update(extra=1), "extra: Extra inputs are not permitted"),
        (lambda fields: fields["seeds"][0].update(outcome="Fine"), r"seeds\.0\.outcome: Input should be 'Succeeded'"),
        (
            lambda fields: fields["seeds"][0]["federated"]["hilltop"].update(auc=None),
            "auc: Input should be a valid number",
        ),
    ],
)
def test_a_report_of_another_form_is_refused_by_place_and_rule(make, tmp_path, change, words):
    fields = json.loads(make.report([make.seed(1)]).model_dump_json())
    change(fields)
    (tmp_path / "report.json").write_text(json.dumps(fields))
    with pytest.raises(RunError, match=words):
        Report.load(tmp_path / "report.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_rubbish_is_no_report(tmp_path, content):
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(RunError, match="is no report: the whole file"):
        Report.load(tmp_path / "report.json")


def test_a_figure_that_is_no_number_cannot_enter_a_report(make):
    with pytest.raises(ValidationError, match="finite number"):
        make.seed(1, federated={"hilltop": {"auc": float("nan")}})
