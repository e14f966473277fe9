"""Real patients' data over Kafka and over SQLite: the same, to the bit."""

from pathlib import Path

import pytest
import yaml
from command_line import consilia

from consilia_workers.report.results import Report, RoundResult

EXAMPLES = Path(__file__).parents[2] / "examples"


def result(folder, job, data, *more):
    """The final model's bytes, and all that the report says but for the times."""
    done = consilia(folder, "run", job, "--no-baselines", *more, CONSILIA_DATA=str(data))
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (folder / "consilia-runs").glob("*/*")
    (seed,) = Report.load(run / "report.json").seeds
    (model,) = run.glob("seed-*/model.safetensors")
    return model.read_bytes(), seed.model_digest, seed.federated, [timeless(each) for each in seed.rounds]


def timeless(closed: RoundResult):
    return closed.model_dump(exclude={"seconds", "aggregate_seconds", "train_seconds"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "rounds"),
    [("heart-disease", "heart_disease", 50), ("stroke", "ist", 8)],
    ids=["heart disease, whole", "stroke, eight rounds"],
)
def test_kafka_gives_what_sqlite_gives(tmp_path, real_data, kafka_settings, name, data, rounds):
    job = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    job["spec"]["rounds"]["count"] = rounds
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    places = [tmp_path / "sqlite", tmp_path / "kafka"]
    for place in places:
        place.mkdir()
    by_sqlite = result(places[0], path, real_data(data).parent)
    by_kafka = result(places[1], path, real_data(data).parent, "--kafka", kafka_settings.bootstrap_servers[0])
    assert by_kafka == by_sqlite
    assert len(by_kafka[-1]) == rounds
