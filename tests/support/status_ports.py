"""A job's status: what observers see, what a status port answers, and whole programs that serve one, on loopback."""

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from worlds import World, make_job

from consilia.log.opening import sqlite_url
from consilia.progress import JobProgress, PartProgress, TrainerProgress
from consilia.wire.identity import Identity, PublicKey, Roster
from consilia_workers.rounds.reception import Reception
from consilia_workers.rounds.recovery import Standing
from consilia_workers.status.aggregator_metrics import Metrics
from consilia_workers.status.board import Board
from consilia_workers.status.job_status import JobStatus
from consilia_workers.status.pulse import Pulse

SUPPORT = Path(__file__).parent


def letter(answer: bytes, key: PublicKey) -> str:
    """The text of a signed answer, its signature checked."""
    said = json.loads(answer)
    assert key.signed(said["body"].encode(), said["signature"])
    return said["body"]


class Witness:
    """The observer of a world's aggregator, and everything that it would have told."""

    def __init__(self, world: World) -> None:
        self.registry, self.pulse, self._key = CollectorRegistry(), Pulse(), world.roster.aggregator
        first = JobProgress(job="job", version=0, phase="Starting")
        self._board = Board(world.keys["aggregator"], first)
        self._status = JobStatus(world.job, world.roster, self._board, Metrics(self.registry), self.pulse)
        self.told: list[JobProgress] = [self.now()]

    def now(self) -> JobProgress:
        answer = asyncio.run(self._board.newer(0, 0))
        assert answer is not None
        return JobProgress.model_validate_json(letter(answer, self._key))

    def watch(self, reception: Reception) -> None:
        self._status.watch(reception)

    def see(self, standing: Standing) -> None:
        self._status.see(standing)
        self.told.append(self.now())

    def part(self, name: str) -> PartProgress:
        return part(self.told[-1], name)

    def states(self, name: str) -> list[str]:
        """All that a hospital has been in, each once in a row."""
        found = [part(each, name).state for each in self.told if each.hospitals]
        return [state for before, state in zip([None, *found], found, strict=False) if state != before]

    def value(self, metric: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(metric, {"job": "job", **labels})


def part(progress: JobProgress, name: str) -> PartProgress:
    """One hospital in it."""
    (found,) = [each for each in progress.hospitals if each.name == name]
    return found


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every series of a /metrics page, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass(frozen=True, slots=True)
class Port:
    """A status port on this machine."""

    number: int

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """The status and the body, whatever it is."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.number}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=70) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


@dataclass
class Program:
    """One started process, and what it writes to standard error."""

    process: subprocess.Popen[bytes]
    output: Path

    @property
    def port(self) -> Port:
        """Its status port, as soon as it says which it is."""
        return Port(int(self.says(r"status on port (\d+)")[1]))

    def says(self, pattern: str) -> re.Match[str]:
        """Wait until it has."""
        deadline = monotonic() + 60
        while not (found := re.search(pattern, self.text())):
            assert self.process.poll() is None, self.text()
            assert monotonic() < deadline, self.text()
            sleep(0.02)
        return found

    def text(self) -> str:
        return self.output.read_text()

    def ended(self) -> int:
        return self.process.wait(30)

    def asked_to_end(self) -> int:
        self.process.terminate()
        return self.ended()


@dataclass
class Federation:
    """A job of hospitals a and b, each party a process with a status port; on a SQLite log, or any other."""

    folder: Path
    spec: dict[str, Any]
    log: str = ""
    programs: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = ["a", "b"]
        keys = {name: Identity.generate(name) for name in ("aggregator", *names)}
        for name, key in keys.items():
            key.save(self.folder / f"{name}.pem")
        self.roster = Roster(keys["aggregator"].public(), {name: keys[name].public() for name in names})
        self.job = make_job(names, **{"task": {"entrypoint": "drifting:Drifting"}, **self.spec})
        (self.folder / "roster.json").write_text(json.dumps(self.roster.as_json()))
        (self.folder / "job.json").write_text(self.job.model_dump_json(by_alias=True, exclude_none=True))
        self.settings("aggregator", work=str(self.folder / "work"))
        for name in names:
            self.settings(name, hospital=name, state=str(self.folder / name))

    def settings(self, party: str, **own: Any) -> Path:
        fields = {name: str(self.folder / f"{name}.json") for name in ("job", "roster")}
        log = self.log or sqlite_url(self.folder / "log")
        fields |= {"log": log, "key": str(self.folder / f"{party}.pem"), "status_port": 0}
        path = self.folder / f"{party}-settings.json"
        path.write_text(json.dumps({**fields, **own}))
        return path

    def start(self, party: str) -> Program:
        program = "aggregator" if party == "aggregator" else "trainer"
        output = self.folder / f"{party}-{len(self.programs)}.log"
        command = [sys.executable, "-m", "consilia_workers", program, str(self.folder / f"{party}-settings.json")]
        environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
        with output.open("wb") as file:
            process = subprocess.Popen(command, env=environment, stderr=file)
        self.programs.append(Program(process, output))
        return self.programs[-1]

    def follow(self, port: Port) -> Iterator[JobProgress]:
        """Every snapshot of the aggregator that is caught, to the last one."""
        version = 0
        while True:
            status, answer = port.get(f"/progress?after={version}&wait=30")
            assert status == 200
            progress = JobProgress.model_validate_json(letter(answer, self.roster.aggregator))
            assert progress.version > version
            version = progress.version
            yield progress
            if progress.phase == "Finished":
                return

    def until(self, port: Port, enough: Callable[[JobProgress], bool]) -> JobProgress:
        """The first snapshot that is enough."""
        return next(progress for progress in self.follow(port) if enough(progress))

    def trainer(self, port: Port, name: str, after: int = 0) -> TrainerProgress:
        """Where a trainer stands now."""
        _, answer = port.get(f"/progress?after={after}&wait=30")
        return TrainerProgress.model_validate_json(letter(answer, self.roster.hospitals[name]))

    def end(self) -> None:
        for program in self.programs:
            program.process.kill()
            program.process.wait()


@contextmanager
def federation(folder: Path, log: str = "", **spec: Any) -> Iterator[Federation]:
    """Its processes end with the block."""
    made = Federation(folder, spec, log)
    try:
        yield made
    finally:
        made.end()
