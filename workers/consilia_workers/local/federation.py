"""One federated training on this machine: aggregator and hospitals as processes that talk through a log."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import monotonic

from consilia.api import FederatedJob
from consilia.errors import RunError
from consilia.log import Log
from consilia.wire.messages import JobFinished, Left
from consilia_workers.local.display import Display
from consilia_workers.local.export import export_model
from consilia_workers.local.folder import AGGREGATOR, SeedFolder
from consilia_workers.local.kept import with_audits, with_kept, with_spent
from consilia_workers.local.measure import Measured, MeasureSettings
from consilia_workers.local.processes import Ended, Processes, Program
from consilia_workers.local.run_log import RunLog
from consilia_workers.local.site import Site
from consilia_workers.local.watching import Watch
from consilia_workers.report.results import SeedResult
from consilia_workers.trainer_program import EXIT_EXHAUSTED
from consilia_workers.uplink import Uplink

_TICK = 0.05
"""How often the display is brought up to date, in seconds."""
_GLANCE = 0.001
"""How long to look for news of the aggregator then, in seconds."""
_ERROR = "error: "
"""How the last line of a process begins that could not go on."""
_TAIL = 8192
"""How much of a process's output is looked at for its last line, in bytes."""
_FAREWELL, _AUDITS = 10.0, 60.0
"""How long processes may take to end by themselves after the job's last word, in seconds; private jobs' audit then."""


class Federation:
    """What one training needs."""

    def __init__(
        self,
        job: FederatedJob,
        sites: Sequence[Site],
        folder: SeedFolder,
        processes: Processes,
        display: Display,
        log: RunLog,
    ) -> None:
        """`sites` has one for each of the job's hospitals."""
        self._job, self._sites, self._folder = job, list(sites), folder
        self._processes, self._display, self._run_log = processes, display, log

    def train(self, started: float) -> SeedResult:
        """From the first process to the last word. `started` is in seconds since the epoch.

        Raises:
            RunError: a process could not be kept alive.
            ConsiliaError: the log cannot be opened.
        """
        roster = self._folder.prepare(self._job, self._sites)
        begin_model(self._processes, self._folder)
        for module in self._run_log.modules:
            self._processes.load(module)
        with closing(self._run_log.open(self._folder)) as log:  # while the model is made
            watch = Watch(log, self._job.log_name, roster.aggregator)
            start_with_model(self._processes, self._folder, [site.hospital for site in self._sites])
            finished = self._follow(watch, log)
            self._await_farewells()
            self._keep_model(log, finished)
        result = _result(self._job.spec.training.seed, watch, finished, started)
        privacy, hospitals = self._job.spec.privacy, [site.hospital for site in self._sites]
        if privacy is None:
            return result
        spent = with_spent(result, self._folder, hospitals, tighter=privacy.accountant == "PRV")
        audited = with_audits(spent, self._folder, hospitals)
        return audited if privacy.evaluation == "Charged" else with_kept(audited, self._folder, hospitals)

    def _follow(self, watch: Watch, log: Log) -> JobFinished:
        """Show the news until the job is finished; a hospital may leave on the way, the aggregator may not."""
        while watch.finished is None:
            self._run_log.look(self._display)
            ended = list(self._processes.poll(_TICK))
            if log.wait({watch.topic: watch.offset}, _GLANCE):
                for heard in watch.news():
                    self._display.said(heard.message)
            for each in ended:
                self._mourn(each, over=watch.finished is not None)
                if each.name != AGGREGATOR and each.code not in {0, EXIT_EXHAUSTED} and watch.finished is None:
                    self._leave_for(each.name, log)
            for each in self._processes.revivals():
                self._display.note(f"{each.name} is started again: {_why(each, self._folder.output(each.name))}")
        return watch.finished

    def _leave_for(self, hospital: str, log: Log) -> None:
        """Who was killed, or could not even start, has not said that nobody needs to wait."""
        job = self._job.log_name
        Uplink(log, job, self._folder.key(hospital)).say(Left(job=job, hospital=hospital, reason="TaskFailed"))

    def _mourn(self, ended: Ended, *, over: bool) -> None:
        """Say why somebody is gone. Once the job is over all go, but whose error ended it is still worth a line."""
        words = _why(ended, self._folder.output(ended.name))
        if ended.name == AGGREGATOR:
            if ended.code != 0 and not over:
                message = f"the aggregator ended with code {ended.code}: {words}"
                raise RunError(message, remedy="Start again with --resume.")
        elif ended.code != 0 and not (over and _is_log_line(words)):
            self._display.note(f"{ended.name} left: {words}")

    def _await_farewells(self) -> None:
        deadline = monotonic() + (_AUDITS if self._job.spec.privacy else _FAREWELL)
        while self._processes.names() and monotonic() < deadline:
            for ended in self._processes.poll(_TICK):
                self._mourn(ended, over=True)
        self._processes.end()  # stragglers: what they do is for nobody any more

    def _keep_model(self, log: Log, finished: JobFinished) -> None:
        if finished.model:
            export_model(log, self._job.log_name, finished.rounds, self._folder.model)

    def measure(self, result: SeedResult) -> SeedResult:
        """The same training alone at each hospital that took part, and pooled, added to the result.

        Where that fails, the result stays as it is: the federation has succeeded all the same.
        """
        took_part = {hospital for each in result.rounds for hospital in each.samples}
        own = self._folder.path / "baselines"
        own.mkdir(exist_ok=True)
        settings = MeasureSettings(
            job=self._folder.job,
            sites=[site for site in self._sites if site.hospital in took_part],
            result=own / "result.json",
            progress=own / "progress",
        )
        try:
            measured = self._measured(settings, own)
        except RunError as error:
            self._display.note(f"not measured alone and pooled: {error}")
            return result
        return result.model_copy(update={"alone": measured.alone, "pooled": measured.pooled})

    def _measured(self, settings: MeasureSettings, folder: Path) -> Measured:
        path, output = folder / "settings.json", folder / "output.log"
        path.write_text(settings.model_dump_json())
        program = Program(name="baselines", program="baselines", settings=path, output=output, again=False)
        self._processes.start(program)
        _await(self._processes, program, lambda: self._show(settings))
        return Measured.model_validate_json(settings.result.read_bytes())

    def _show(self, settings: MeasureSettings) -> None:
        if settings.progress.exists() and (words := settings.progress.read_text().split()):
            self._display.measuring(int(words[0]), int(words[1]))


def start_parties(processes: Processes, folder: SeedFolder, hospitals: Sequence[str]) -> None:
    """The aggregator and the hospitals of one prepared folder.

    Raises:
        RunError: the task's model cannot be made.
    """
    begin_model(processes, folder)
    start_with_model(processes, folder, hospitals)


def begin_model(processes: Processes, folder: SeedFolder) -> None:
    """Have the initial model made; out of the nursery too, so that the framework is loaded once only."""
    processes.start(_model_program(folder))


def start_with_model(processes: Processes, folder: SeedFolder, hospitals: Sequence[str]) -> None:
    """The aggregator and the hospitals, once the model that `begin_model` began is there.

    Raises:
        RunError: it cannot be made.
    """
    initial = _model_program(folder)
    _await(processes, initial)
    processes.start(replace(initial, name=AGGREGATOR, program="aggregator", how="spawn", again=True))
    for name in hospitals:
        program = Program(name=name, program="trainer", settings=folder.settings(name), output=folder.output(name))
        processes.start(program)


def _model_program(folder: SeedFolder) -> Program:
    return Program(
        name="initial-model",
        program="initial-model",
        settings=folder.settings(AGGREGATOR),
        output=folder.output(AGGREGATOR),
        again=False,
    )


def _await(processes: Processes, program: Program, while_waiting: Callable[[], None] = lambda: None) -> None:
    """Wait for the end of a program that was started."""
    while True:
        for ended in processes.poll(_TICK):
            if ended.name == program.name and ended.code != 0:
                raise RunError(f"{program.name} failed: {_why(ended, program.output).removeprefix(_ERROR)}")
            if ended.name == program.name:
                return
        while_waiting()


def _why(ended: Ended, output: Path) -> str:
    """The last line that a process printed, unless it was killed or printed none."""
    if ended.code < 0 or not output.exists():
        return ended.how
    with output.open("rb") as file:
        file.seek(-min(_TAIL, file.seek(0, os.SEEK_END)), os.SEEK_END)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ended.how


def _is_log_line(words: str) -> bool:
    """Whether it begins with a date, as all do but the last line of a process that failed."""
    return words[:4].isdigit()


def _result(seed: int, watch: Watch, finished: JobFinished, started: float) -> SeedResult:
    return SeedResult(
        seed=seed,
        outcome=finished.outcome,
        reason=finished.reason,
        message=finished.message,
        start_seconds=max(0.0, (watch.first_opened or started) - started),
        wall_seconds=max(0.0, watch.last_heard - started),
        rounds=watch.rounds,
        federated=finished.metrics,
        model_digest=finished.model.sha256 if finished.model else None,
    )
