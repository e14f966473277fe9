"""Disturbed jobs over Kafka: processes and brokers on a stage, where they are killed, stopped and cut off."""

import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from chaos import fork_parties, program, results
from gated import Gate

from consilia.api import FederatedJob
from consilia.broker.process import Broker
from consilia.errors import TemporaryError
from consilia.kafka.log import KafkaLog
from consilia.kafka.settings import KafkaSettings
from consilia.log.opening import kafka_url
from consilia.wire.identity import PublicKey
from consilia.wire.messages import FromAggregator, JobFinished, RoundClosed, RoundOpened
from consilia_workers.local.folder import AGGREGATOR, SeedFolder
from consilia_workers.local.kafka_run_log import MODULES
from consilia_workers.local.processes import Processes
from consilia_workers.local.site import Site
from consilia_workers.rounds_reader import RoundsReader
from consilia_workers.settings import AggregatorSettings, TrainerSettings

TOO_LONG = 180.0
"""Seconds after which what is waited for counts as never coming."""


class Listener:
    """Hears all that a job's aggregator says, in a thread of its own, and whether any of it is ever taken back."""

    def __init__(self, settings: KafkaSettings, job: str, key: PublicKey) -> None:
        # Impatient: it opens the log anew, and so sees what a newcomer would see.
        self._settings = settings.model_copy(update={"delivery_seconds": 5.0})
        self._job, self._key = job, key
        self.said: list[FromAggregator] = []
        self.taken_back: list[FromAggregator] = []
        """What was read once and was another message, or in another place, when it was read again."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(TOO_LONG)

    def _run(self) -> None:
        while not self._over.is_set():
            with suppress(TemporaryError), closing(KafkaLog(self._settings)) as log:
                self._follow(log)

    def _follow(self, log: KafkaLog) -> None:
        reader, heard = RoundsReader(log, self._job, self._key), 0
        while not self._over.is_set():
            for each in reader.news():
                self._hear(heard, each.message)
                heard += 1
            log.wait({reader.topic: reader.offset}, 0.2)

    def _hear(self, place: int, message: FromAggregator) -> None:
        if place == len(self.said):
            self.said.append(message)
        elif self.said[place] != message:
            self.taken_back.append(self.said[place])


class Revived:
    """Brokers that are started again as soon as they are dead, as systemd or Kubernetes would."""

    def __init__(self, brokers: Mapping[str, Broker], *, back: Callable[[], bool] = lambda: True) -> None:
        """Who serves again is still away until `back` says that it has caught up."""
        self._brokers, self._back = dict(brokers), back
        self._starting: dict[str, Future[None]] = {}
        self._starters = ThreadPoolExecutor()
        self.deaths: Counter[str] = Counter()
        """By broker, how often it was found dead."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves them running."""
        self._starters.shutdown()

    def pids(self) -> dict[str, int]:
        """The process ids of those that serve."""
        return {name: each.pid for name, each in self._brokers.items() if name not in self._starting}

    def look(self) -> None:
        """Start again who is dead."""
        for name, broker in self._brokers.items():
            starting = self._starting.get(name)
            if starting is None and not broker.running():
                self.deaths[name] += 1
                self._starting[name] = self._starters.submit(self._revive, broker)
            elif starting and starting.done():
                starting.result()
                del self._starting[name]

    def _revive(self, broker: Broker) -> None:
        broker.start()
        deadline = monotonic() + TOO_LONG
        while not self._back():
            assert monotonic() < deadline, f"it never caught up: see {broker.log}"
            sleep(0.1)

    @property
    def up(self) -> bool:
        """Whether all serve."""
        self.look()
        return not self._starting


class Stage:
    """One job's parties as processes on Kafka, started again whenever they were killed or gave up for now."""

    def __init__(
        self,
        job: FederatedJob,
        folder: Path,
        kafka: KafkaSettings,
        processes: Processes,
        *,
        ways: Mapping[str, KafkaSettings] | None = None,
    ) -> None:
        """`processes` are free for this job; `ways` are for the parties that reach the log in a way of their own."""
        folder.mkdir()
        self.job, self.seed, self.kafka, self.processes = job, SeedFolder(folder), kafka, processes
        self.names = list(job.spec.hospitals.names or [])
        self.gates = {name: Gate(folder / f"gate-{name}") for name in self.names}
        """By hospital, for tasks that wait before them."""
        parameters = {name: {"gate": str(gate.path)} for name, gate in self.gates.items()}
        sites = [Site(hospital=name, path=None, parameters=parameters[name]) for name in self.names]
        self.roster = self.seed.prepare(job, sites)
        for party in (AGGREGATOR, *self.names):
            self._lead(party, (ways or {}).get(party, kafka))
        self.restarts: Counter[tuple[str, str]] = Counter()
        """By party and how it had ended, how often it was started again."""
        self.ended: dict[str, int] = {}
        """Who has ended for good, with the exit code."""
        self.expected_to_fail: set[str] = set()
        self._mortal: set[str] = set()

    def _lead(self, party: str, way: KafkaSettings) -> None:
        file, settings = self.seed.party(party) / "kafka.json", self.seed.settings(party)
        way.save(file)
        kind = AggregatorSettings if party == AGGREGATOR else TrainerSettings
        kind.load(settings).model_copy(update={"log": kafka_url(file)}).save(settings)

    def __enter__(self) -> Self:
        self.listener = Listener(self.kafka, self.job.log_name, self.roster.aggregator)
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.end()
        self.listener.stop()

    def start(self, hospitals: Iterable[str] | None = None) -> None:
        """The aggregator, and all hospitals or these."""
        for module in MODULES:
            self.processes.load(module)
        fork_parties(self.processes, self.seed, self.names if hospitals is None else hospitals)

    def start_one(self, party: str, *, name: str = "", again: bool = True) -> None:
        """One more process for a party; `name` is another than the party's where that still has one.

        Killed, it is gone for good unless it is to be started `again`.
        """
        name = name or party
        if not again:
            self._mortal.add(name)
        started = replace(program(self.seed, party), name=name, output=self.output(name), again=again)
        self.processes.start(started)

    def output(self, name: str) -> Path:
        """Where the process of that name prints."""
        known = name == AGGREGATOR or name in self.names
        return self.seed.output(name) if known else self.seed.path / f"{name}.log"

    def tick(self, seconds: float = 0.01) -> None:
        """Take note of who has ended."""
        for ended in self.processes.poll(seconds):
            if ended.name not in self._mortal and (ended.code < 0 or ended.code == os.EX_TEMPFAIL):
                # It has died more often than a run on one machine has patience for.
                self.restarts[ended.name, ended.how] += 1
                self.start_one(ended.name)
                continue
            self.ended[ended.name] = ended.code
            allowed = ended.code == 0 or ended.name in self.expected_to_fail | self._mortal
            assert allowed, f"{ended.name} {ended.how}: {self.output(ended.name).read_text()[-2000:]}"
        for again in self.processes.revivals():
            self.restarts[again.name, again.how] += 1

    def until(self, condition: Callable[[], object], *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Go on until `condition` holds."""
        deadline = monotonic() + TOO_LONG
        while not condition():
            assert monotonic() < deadline, f"never came: see {self.seed.path}; said last: {self.said[-1:]}"
            self.tick()
            meanwhile()

    @property
    def said(self) -> list[FromAggregator]:
        """What the aggregator said so far."""
        return list(self.listener.said)

    def replay(self) -> list[FromAggregator]:
        """The same, as who comes only now reads it."""
        with closing(KafkaLog(self.kafka)) as log:
            return [heard.message for heard in RoundsReader(log, self.job.log_name, self.roster.aggregator).news()]

    @property
    def finished(self) -> bool:
        """Whether it has said its last word."""
        return bool(self.said) and isinstance(self.said[-1], JobFinished)

    @property
    def rounds(self) -> int:
        """How many rounds are closed."""
        return sum(isinstance(each, RoundClosed) for each in self.said)

    def opened(self, number: int) -> bool:
        """Whether that round has been opened."""
        return any(isinstance(each, RoundOpened) and each.round == number for each in self.said)

    def closed(self, number: int) -> RoundClosed | None:
        """How that round was closed, if it was."""
        return next((each for each in self.said if isinstance(each, RoundClosed) and each.round == number), None)

    def trained(self, hospital: str) -> list[int]:
        """The rounds that it trained, in order, every attempt."""
        output = self.output(hospital)
        found = re.findall(r"trained round (\d+),", output.read_text()) if output.exists() else []
        return [int(number) for number in found]

    def gave_way(self, name: str) -> bool:
        """Whether a process of it ended because a newer one has taken its place."""
        return (
            re.search(r"^error: .*\bnewer process\b", self.output(name).read_text(), re.MULTILINE | re.IGNORECASE)
            is not None
        )

    def held_in(self, hospital: str) -> int:
        """Close its gate, wait until it stands before it: the round in whose middle it is."""
        self.gates[hospital].close()
        self.until(lambda: self.gates[hospital].holds)
        return (self.trained(hospital) or [0])[-1] + 1

    def finish(self) -> None:
        """The job's end: all rounds, each closed once, nothing taken back, and the same for who comes only now."""
        self.until(lambda: self.finished and not self.processes.names())
        assert self.listener.taken_back == []
        assert [each[0] for each in results(self.said)] == [*range(1, self.job.spec.rounds.count + 1)]
        assert self.replay() == self.said

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process that runs."""
        self.until(lambda: self.processes.pids().get(name))
        os.kill(self.processes.pids()[name], number)


def named(job: FederatedJob, name: str) -> FederatedJob:
    """The same job under another name: it trains the same."""
    return job.model_copy(update={"metadata": job.metadata.model_copy(update={"name": name})})
