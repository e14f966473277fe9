"""`consilia run --kafka` on a cluster that outlives the run: the same model, nothing left behind, what it refuses."""

import json
from contextlib import closing
from hashlib import sha256

import psutil
import pytest
import yaml
from command_line import consilia, job_file, model, run_args, run_folder, start, wait_for

from consilia.kafka.access import Access
from consilia.kafka.acls import AclRule, Kind, Operation, Pattern, Resource
from consilia.kafka.connection import make_admin
from consilia.log import topics
from consilia.log.opening import kafka_url, open_log
from consilia_workers.local.folder import RunFolder
from consilia_workers.retirement import Retired, retired_jobs

ROUNDS = 3
HOSPITALS = ("a", "bb")


@pytest.fixture
def kafka(kafka_settings):
    """The address of the session's broker."""
    return kafka_settings.bootstrap_servers[0]


@pytest.fixture
def log(kafka):
    with closing(open_log(f"kafka://{kafka}")) as opened:
        yield opened


@pytest.fixture
def file(tmp_path):
    return job_file(tmp_path, rounds=ROUNDS, names=HOSPITALS, ready=2)


@pytest.fixture(scope="module")
def over_sqlite(tmp_path_factory):
    """The model that the same job gives over SQLite."""
    folder = tmp_path_factory.mktemp("sqlite")
    done = consilia(folder, *run_args(job_file(folder, rounds=ROUNDS, names=HOSPITALS, ready=2)))
    assert done.returncode == 0, done.stderr
    return model(folder)


def name_on_the_log(folder, seed=0):
    return f"drift.{str(RunFolder(run_folder(folder)).uid(seed))[:8]}"


def left(log, folder, seed=0):
    return topics.of_job(name_on_the_log(folder, seed), log.topics())


def test_the_model_is_the_one_that_sqlite_gives_and_the_topics_are_gone_but_recorded(
    tmp_path, file, kafka, log, over_sqlite
):
    done = consilia(tmp_path, *run_args(file, "--kafka", kafka))
    assert done.returncode == 0, done.stderr
    assert model(tmp_path) == over_sqlite
    name, seed = name_on_the_log(tmp_path), run_folder(tmp_path) / "seed-0"
    assert f"5 topics of {name} deleted on Kafka at {kafka}; consilia.retired says what was there" in done.stdout
    assert left(log, tmp_path) == []
    retired = retired_jobs(log)[name]
    assert retired == Retired.model_validate_json((seed / "retired.json").read_bytes())
    assert (retired.outcome, retired.rounds, retired.verified) == ("Succeeded", ROUNDS, True)
    assert retired.model == f"sha256:{sha256(over_sqlite).hexdigest()}"
    assert retired.rounds_digest == f"sha256:{sha256((seed / 'rounds.jsonl').read_bytes()).hexdigest()}"


def test_every_run_and_every_seed_of_a_job_is_another_on_the_cluster(tmp_path, file, kafka, log):
    for number in (1, 2):
        own = tmp_path / str(number)
        done = consilia(tmp_path, *run_args(file, "--kafka", kafka, "--seeds", "2", "--keep-topics", "--out", own))
        assert done.returncode == 0, done.stderr
    runs = [path for number in (1, 2) for path in (tmp_path / str(number) / "drift").iterdir()]
    results = [json.loads((path / f"seed-{seed}" / "result.json").read_text()) for path in runs for seed in (0, 1)]
    assert [len(result["rounds"]) for result in results] == [ROUNDS] * 4
    names = {f"drift.{str(RunFolder(path).uid(seed))[:8]}" for path in runs for seed in (0, 1)}
    assert len(names) == 4
    assert names <= set(topics.jobs(log.topics()))


def test_topics_that_were_kept_can_be_retired_by_hand(tmp_path, file, kafka, log, kafka_settings):
    assert consilia(tmp_path, *run_args(file, "--kafka", kafka, "--keep-topics")).returncode == 0
    assert len(left(log, tmp_path)) == 5
    kafka_settings.save(tmp_path / "admin.json")
    roster = run_folder(tmp_path) / "seed-0" / "roster.json"
    by_hand = ["kafka", "retire", name_on_the_log(tmp_path), "--settings", tmp_path / "admin.json", "--roster", roster]
    tried = consilia(tmp_path, *by_hand, "--dry-run")
    assert "would be deleted:" in tried.stdout, tried.stderr
    assert len(left(log, tmp_path)) == 5
    done = consilia(tmp_path, *by_hand, "--export", tmp_path / "said.jsonl", "--json")
    retired = Retired.model_validate_json(done.stdout)
    assert retired.rounds_digest == f"sha256:{sha256((tmp_path / 'said.jsonl').read_bytes()).hexdigest()}"
    assert retired.verified
    assert left(log, tmp_path) == []


@pytest.fixture
def runner(kafka_broker, kafka_user):
    """A user who may do anything to what is called `consilia.`, for as long as the test: the broker is everybody's."""
    kinds = (Kind.TOPIC, Kind.GROUP, Kind.TRANSACTIONAL_ID)
    things = [Resource(kind=kind, name="consilia.", pattern=Pattern.PREFIXED) for kind in kinds]
    rules = [AclRule(principal="User:runner", operation=Operation.ALL, resource=thing) for thing in things]
    with closing(make_admin(kafka_broker.settings)) as admin:
        access = Access(kafka_broker.settings, admin)
        access.add(rules)
        yield kafka_user("runner")
        access.remove(rules)


def test_with_credentials_from_a_file(tmp_path, file, runner, over_sqlite):
    """All processes of a run are one user."""
    runner.save(tmp_path / "kafka.json")
    done = consilia(tmp_path, *run_args(file, "--kafka", "kafka.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert model(tmp_path) == over_sqlite
    with closing(open_log(kafka_url(tmp_path / "kafka.json"))) as log:
        assert left(log, tmp_path) == []


def test_the_cluster_that_the_job_itself_names_is_used(tmp_path, file, kafka, over_sqlite):
    job = yaml.safe_load(file.read_text())
    job["spec"]["transport"] = {"external": {"bootstrapServers": [kafka]}}
    file.write_text(yaml.safe_dump(job))
    done = consilia(tmp_path, *run_args(file))
    assert done.returncode == 0, done.stderr
    assert f"deleted on Kafka at {kafka}" in done.stdout
    assert model(tmp_path) == over_sqlite


def test_when_the_runner_is_killed_resume_finds_the_same_topics_and_comes_to_the_same_model(
    tmp_path, kafka, log, kafka_settings, over_sqlite
):
    file = job_file(tmp_path, rounds=ROUNDS, names=HOSPITALS, ready=2, seconds=1)
    process = start(tmp_path, *run_args(file, "--kafka", kafka))
    list(wait_for(process, "round 1:"))
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=30)
    assert psutil.wait_procs(children, timeout=10)[1] == []
    without = consilia(tmp_path, *run_args(file, "--resume"))
    assert without.returncode == 1
    assert f"at {kafka}; it cannot go on without --kafka." in without.stderr
    kafka_settings.save(tmp_path / "kafka.json")  # the same cluster under another name
    resumed = consilia(tmp_path, *run_args(file, "--resume", "--kafka", tmp_path / "kafka.json"))
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert model(tmp_path) == over_sqlite
    assert left(log, tmp_path) == []


def test_a_training_that_was_done_but_not_cleared_away_is_cleared_by_resume(tmp_path, file, kafka, log):
    assert consilia(tmp_path, *run_args(file, "--kafka", kafka, "--keep-topics")).returncode == 0
    (run_folder(tmp_path) / "report.json").unlink()  # as if it had been killed before the end
    assert consilia(tmp_path, *run_args(file, "--kafka", kafka, "--resume")).returncode == 0
    assert left(log, tmp_path) == []


@pytest.mark.parametrize(
    ("kafka", "words"),
    [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("no-such-host.invalid:9092", "no-such-host.invalid"),
        ("localhost", "--kafka localhost is neither embedded, nor host:port, nor a file of settings."),
        ("user:secret@localhost", "--kafka localhost is neither embedded"),
        ("localhost:9092,", "--kafka localhost:9092, is neither embedded"),
        ("user:secret@localhost:9092", "--kafka localhost:9092 is no list of addresses."),
        ("absent.json", "--kafka absent.json is neither embedded, nor host:port, nor a file of settings."),
        ("broken.json", "the Kafka settings in broken.json are not valid"),
        ("job.yaml", "the Kafka settings in job.yaml are not valid"),
    ],
)
def test_a_kafka_that_cannot_be_used_is_refused_in_one_message_before_anything_is_begun(tmp_path, file, kafka, words):
    (tmp_path / "broken.json").write_text('{"bootstrapServers": ["localhost:9092"], "user": "a"}')
    refused = consilia(tmp_path, *run_args(file, "--kafka", kafka))
    assert refused.returncode == 1
    assert words in refused.stderr
    assert "secret" not in refused.stderr
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "consilia-runs").exists()
