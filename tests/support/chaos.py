"""Disturbed jobs: processes killed with SIGKILL at seeded random moments, started again, watched to the end."""

import os
import random
import signal
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic

from consilia.api import FederatedJob
from consilia.log.opening import open_log
from consilia.wire.messages import FromAggregator, JobFinished, RoundClosed
from consilia_workers.local.federation import begin_model
from consilia_workers.local.folder import AGGREGATOR, SeedFolder
from consilia_workers.local.processes import Ended, Processes, Program
from consilia_workers.local.site import Site
from consilia_workers.local.watching import Watch

TOO_LONG = 240.0
"""Seconds after which a job counts as hanging."""


class Killer:
    """Kills the named processes in a seeded order at seeded moments.

    With `longest_burst`, at most so many die before the job has closed another round: a job that is slow to come back
    would otherwise be killed before it has begun.
    """

    def __init__(
        self, seed: int, victims: list[str], *, longest_pause: float, longest_burst: int | None = None
    ) -> None:
        self._random = random.Random(seed)
        self._random.shuffle(victims)
        self._victims, self._longest, self._longest_burst = victims, longest_pause, longest_burst
        self._next = monotonic() + self._pause()
        self._struck: set[int] = set()
        self._burst = self._new_burst()
        self.kills: list[str] = []
        self.rounds: list[int] = []
        """For each kill, how many rounds were closed."""

    def _pause(self) -> float:
        return self._random.uniform(0, self._longest)

    def _new_burst(self) -> int:
        return self._random.randint(1, self._longest_burst) if self._longest_burst else 1

    @property
    def done(self) -> bool:
        return not self._victims

    def look(self, pids: dict[str, int], rounds: int = 0) -> None:
        """Strike if it is time. Who is just being started again is spared until it lives."""
        if self.done or monotonic() < self._next or not self._may_strike(rounds):
            return
        pid = pids.get(self._victims[-1])
        if not pid or pid in self._struck:  # its end may not have been noticed yet: nobody is killed twice
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self._struck.add(pid)
            self.kills.append(self._victims.pop())
            self.rounds.append(rounds)
            self._burst -= 1
        self._next = monotonic() + self._pause()

    def _may_strike(self, rounds: int) -> bool:
        if self._longest_burst and self._burst == 0:
            if rounds == self.rounds[-1]:
                return False
            self._burst, self._next = self._new_burst(), monotonic() + self._pause()
            return False
        return True


def federate(job: FederatedJob, folder: Path) -> list[FromAggregator]:
    """Run a job to its end, and give everything that its aggregator said."""
    module = job.spec.task.entrypoint.partition(":")[0]
    with Processes(module, folder.with_suffix(".nursery.log")) as processes:
        return federate_within(processes, job, folder)


def federate_within(
    processes: Processes, job: FederatedJob, folder: Path, killer: Killer | None = None
) -> list[FromAggregator]:
    """The same with processes that have nothing else to do, and to the end of all of them."""
    folder.mkdir()
    seed, names = SeedFolder(folder), list(job.spec.hospitals.names or [])
    roster = seed.prepare(job, [Site(hospital=name, path=None, parameters={}) for name in names])
    fork_parties(processes, seed, names)
    said: list[FromAggregator] = []
    deadline = monotonic() + TOO_LONG
    with closing(open_log(seed.log)) as log:
        watch = Watch(log, job.log_name, roster.aggregator)
        while watch.finished is None or processes.names():
            assert monotonic() < deadline, f"the job hangs; see {folder}"
            require_success(processes.poll(0.005), folder)
            if killer:
                killer.look(processes.pids(), len(watch.rounds))
            said += (heard.message for heard in watch.news())
    return said


def fork_parties(processes: Processes, folder: SeedFolder, hospitals: Iterable[str]) -> None:
    """The aggregator and the hospitals of one prepared folder, when the initial model is made.

    The aggregator, too, is forked: loading Python's modules again would be most of what is killed.
    """
    begin_model(processes, folder)
    while processes.names():
        require_success(processes.poll(0.05), folder.path)
    for party in (AGGREGATOR, *hospitals):
        processes.start(program(folder, party))


def program(folder: SeedFolder, party: str) -> Program:
    """What the aggregator or a hospital runs."""
    kind = "aggregator" if party == AGGREGATOR else "trainer"
    return Program(name=party, program=kind, settings=folder.settings(party), output=folder.output(party))


def require_success(ended: Iterable[Ended], folder: Path) -> None:
    """Nobody may end but well."""
    for each in ended:
        assert each.code == 0, f"{each.name} {each.how}; see {folder}"


def final_digest(said: list[FromAggregator]) -> str:
    """The final model's digest; the job must have succeeded."""
    finished = said[-1]
    assert isinstance(finished, JobFinished)
    assert finished.outcome == "Succeeded", finished.message
    assert finished.model is not None
    return finished.model.sha256


def assert_counted_once(said: list[FromAggregator], job: FederatedJob) -> None:
    """Every round closed once, in order, with every hospital in it exactly once and nothing refused."""
    closed = [message for message in said if isinstance(message, RoundClosed)]
    names = sorted(job.spec.hospitals.names or [])
    assert [c.round for c in closed] == list(range(1, job.spec.rounds.count + 1))
    assert all([update.hospital for update in c.cohort] == names for c in closed)
    assert [c.refused for c in closed] == [[]] * len(closed)


def results(said: Sequence[FromAggregator]) -> list[tuple[object, ...]]:
    """Round by round, which updates counted and what came of them: all that must not depend on anybody's death."""
    closed = [each for each in said if isinstance(each, RoundClosed)]
    return [
        (each.round, each.model, [(c.hospital, c.sha256, c.samples, c.metrics) for c in each.cohort]) for each in closed
    ]
