"""The end of a job on the log: what was there stays known, its topics go, and nothing else does."""

import subprocess
from hashlib import sha256

import pytest

from consilia.errors import FencedError, RunError
from consilia.log import topics
from consilia.wire.identity import Identity
from consilia.wire.messages import JobFinished, Payload, RoundClosed, RoundOpened, encode
from consilia_workers.retirement import describe, export_rounds, retire, retired_jobs

DIGEST = f"sha256:{'0' * 64}"
MODEL = Payload(sha256=f"sha256:{'1' * 64}", size=3, chunks=1)
AGGREGATOR = Identity.generate("aggregator")
KEY = AGGREGATOR.public()


class Job:
    """What a job of one round leaves on a log."""

    def __init__(self, log, name, *, finished=True, signer=AGGREGATOR):
        self.log, self.name, self.signer = log, name, signer
        self.topics = [
            *(topics.up(hospital, name) for hospital in ("a", "a-b")),
            topics.model(name),
            topics.rounds(name),
            topics.state(name),
        ]
        for topic in self.topics:
            log.create_topic(topic, compacted=topic in {topics.model(name), topics.state(name)})
        self.producer = log.producer(topics.aggregator(name))
        with self.producer.transaction() as transaction:
            transaction.append(topics.model(name), b"new", key="model/0")
            transaction.append(topics.up("a", name), b"\xff\xfe no text")
        fields = {"model": MODEL, "config_digest": DIGEST, "roster_digest": DIGEST}
        self.say(RoundOpened(job=name, round=1, hospitals=["a"], deadline=1.5, **fields))
        self.say(RoundClosed(job=name, round=1, model=MODEL, cohort=[]))
        if finished:
            self.finish()

    def finish(self):
        self.say(JobFinished(job=self.name, outcome="Succeeded", reason="AllRounds", rounds=1, model=MODEL))

    def say(self, message):
        value, headers = encode(message, self.signer)
        with self.producer.transaction() as transaction:
            transaction.append(topics.rounds(self.name), value, headers=headers)

    def left(self):
        return topics.of_job(self.name, self.log.topics())


@pytest.fixture
def job(log, fresh):
    return Job(log, fresh("job"))


def test_what_was_there_is_recorded_and_deleted(log, job):
    ends = {topic: log.end_offset(topic) for topic in job.topics}
    retired = retire(log, job.name, KEY)
    assert job.left() == []
    assert retired_jobs(log)[job.name] == retired
    assert (retired.outcome, retired.reason, retired.rounds) == ("Succeeded", "AllRounds", 1)
    assert (retired.model, retired.topics, retired.verified) == (MODEL.sha256, ends, True)


def test_an_exported_copy_can_be_checked_against_the_record(log, job, tmp_path):
    with job.producer.transaction() as transaction:
        transaction.append(topics.rounds(job.name), b"\xff somebody's rubbish", headers={"of": "nobody"})
    path = tmp_path / "rounds.jsonl"
    export_rounds(log, job.name, path)
    digest = retire(log, job.name, KEY).rounds_digest
    assert digest == f"sha256:{sha256(path.read_bytes()).hexdigest()}"
    printed = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout
    assert printed.split()[0] == digest.removeprefix("sha256:")


def test_only_the_jobs_own_topics_go(log, fresh):
    name = fresh("job")
    others = [Job(log, other) for other in (f"{name}-2", f"{name}.0a1b2c3d", f"x.{name}")]
    retire(log, Job(log, name).name, KEY)
    assert [other.left() for other in others] == [sorted(other.topics) for other in others]


def test_a_job_that_is_not_finished_keeps_its_topics_and_its_aggregator(log, fresh):
    job = Job(log, fresh("job"), finished=False)
    with pytest.raises(RunError, match="not finished"):
        retire(log, job.name, KEY)
    job.finish()
    assert job.left() == sorted(job.topics)


def test_by_force_it_is_retired_all_the_same_and_its_aggregator_is_fenced(log, log_factory, fresh, topic):
    job = Job(log, fresh("job"), finished=False)
    log.create_topic(topic)
    assert retire(log_factory(), job.name, KEY, force=True).outcome == "Unfinished"
    with pytest.raises(FencedError), job.producer.transaction() as transaction:
        transaction.append(topic, b"from one who does not know that the job is no more")


def test_a_last_word_that_somebody_else_signed_does_not_count(log, fresh):
    job = Job(log, fresh("job"), signer=Identity.generate("aggregator"))
    with pytest.raises(RunError, match="not finished"):
        retire(log, job.name, KEY)


def test_without_the_aggregators_key_the_record_says_that_nothing_was_verified(log, job):
    retired = retire(log, job.name, None)
    assert (retired.outcome, retired.verified) == ("Succeeded", False)


def test_retiring_twice_records_once(log, log_factory, job):
    first = retire(log, job.name, KEY)
    end = log.end_offset(topics.RETIRED)
    assert retire(log_factory(), job.name, KEY) == first
    assert log.end_offset(topics.RETIRED) == end


def test_a_job_that_the_log_does_not_know_is_told_from_those_that_it_knows(log, job, fresh):
    with pytest.raises(RunError, match=f"no topics of the job {fresh('job')[:4]}.*{job.name}"):
        retire(log, fresh("job"), KEY)


def test_a_job_made_anew_under_the_same_name_is_recorded_anew(log, job):
    first = retire(log, job.name, KEY)
    again = Job(log, job.name)
    second = retire(log, job.name, KEY)
    assert again.left() == []
    assert second.when > first.when
    assert retired_jobs(log)[job.name] == second


def test_describing_changes_nothing(log, job):
    before = log.topics()
    described = describe(log, job.name, KEY)
    assert log.topics() == before
    assert described.model_copy(update={"when": 0}) == retire(log, job.name, KEY).model_copy(update={"when": 0})


class KilledError(Exception):
    pass


class KilledLog:
    """A connection whose process dies before its nth change of the log."""

    def __init__(self, log, changes):
        self._log, self._left = log, changes

    def __getattr__(self, name):
        if name in {"create_topic", "delete_topic", "producer"}:
            self._left -= 1
            if self._left < 0:
                raise KilledError
        return getattr(self._log, name)


@pytest.mark.parametrize("changes", range(7))
def test_killed_anywhere_and_repeated_it_ends_the_same(log, log_factory, job, changes):
    expected = describe(log, job.name, KEY)
    with pytest.raises(KilledError):
        retire(KilledLog(log, changes), job.name, KEY)
    retired = retire(log_factory(), job.name, KEY)
    assert job.left() == []
    assert retired == retired_jobs(log)[job.name]
    assert retired.model_copy(update={"when": 0}) == expected.model_copy(update={"when": 0})
