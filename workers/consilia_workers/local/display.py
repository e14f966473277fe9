"""What a person or a script sees of a run: a live bar on a terminal, else plain lines, or JSON lines if asked for."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from consilia.wire.messages import (
    EvaluationOpened,
    FromAggregator,
    JobFinished,
    RoundClosed,
    RoundExtended,
    RoundOpened,
)

FETCHING = "fetching Kafka"
MEGABYTE = 1_000_000


class Display(Protocol):
    """Told what happens; shows it in its own way."""

    def training(self, title: str, rounds: int) -> None:
        """A training of so many rounds begins."""

    def said(self, message: FromAggregator) -> None:
        """The aggregator said something."""

    def measuring(self, done: int, total: int) -> None:
        """The yardsticks, alone and pooled, are so far, in rounds."""

    def fetching(self, done: int, total: int) -> None:
        """Kafka is downloaded so far, in bytes."""

    def note(self, text: str) -> None:
        """One line worth reading."""

    def close(self) -> None:
        """Nothing more comes."""


def make_display(console: Console, *, as_json: bool, metric: str) -> Display:
    """The one that fits the output; `metric` is shown beside each round."""
    if as_json:
        return JsonLines(console)
    return LiveBar(console, metric) if console.is_terminal else PlainLines(console, metric)


def describe(message: FromAggregator, metric: str) -> str | None:
    """A message in words, or None where it is not worth a line."""
    match message:
        case RoundClosed():
            value = message.metrics.get(metric)
            shown = f", {metric} {value:.3f}" if value is not None else ""
            dropped = f", without {', '.join(message.dropped)}" if message.dropped else ""
            refused = f", {len(message.refused)} refused" if message.refused else ""
            return f"round {message.round}: {len(message.cohort)} hospitals{shown}{dropped}{refused}"
        case RoundExtended():
            return f"round {message.round}: still waiting for {', '.join(message.missing)}"
        case EvaluationOpened():
            return "evaluating the final model"
        case JobFinished():
            return message.message or None
        case RoundOpened():
            return None


class PlainLines:
    """One line an event."""

    def __init__(self, console: Console, metric: str) -> None:
        self._console, self._metric = console, metric
        self._shown = ""

    def training(self, title: str, rounds: int) -> None:
        """Announced."""
        self.note(f"{title}, {rounds} rounds")

    def said(self, message: FromAggregator) -> None:
        """In words."""
        if text := describe(message, self._metric):
            self.note(text)

    def measuring(self, done: int, total: int) -> None:
        """Every tenth part."""
        self._tenth("training alone and pooled for comparison", done, total)

    def fetching(self, done: int, total: int) -> None:
        """Every tenth part."""
        self._tenth(FETCHING, done, total)

    def _tenth(self, what: str, done: int, total: int) -> None:
        text = f"{what}: {10 * (10 * done // max(total, 1))} %"
        if text != self._shown:
            self._shown = text
            self.note(text)

    def note(self, text: str) -> None:
        """As it is."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing to tidy."""


class LiveBar:
    """A bar that moves, with the time left."""

    def __init__(self, console: Console, metric: str) -> None:
        self._metric = metric
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(SpinnerColumn(), *columns, TextColumn("{task.fields[detail]}"), console=console)
        self._progress.start()
        self._training: TaskID | None = None
        self._measuring: TaskID | None = None
        self._fetching: TaskID | None = None

    def training(self, title: str, rounds: int) -> None:
        """A new bar."""
        self._training = self._progress.add_task(title, total=rounds, detail="waiting for hospitals")

    def said(self, message: FromAggregator) -> None:
        """The bar moves on, with the newest in words beside it."""
        if self._training is None:
            return
        text = describe(message, self._metric)
        if isinstance(message, RoundClosed):
            self._progress.update(self._training, completed=message.round, detail=(text or "").partition(": ")[2])
        elif text:
            self._progress.update(self._training, detail=text)

    def measuring(self, done: int, total: int) -> None:
        """A bar of its own."""
        if self._measuring is None:
            self._measuring = self._progress.add_task("alone and pooled", total=total, detail="for comparison")
        self._progress.update(self._measuring, completed=done, total=total)

    def fetching(self, done: int, total: int) -> None:
        """A bar of its own, in megabytes."""
        if self._fetching is None:
            self._fetching = self._progress.add_task(FETCHING, total=total // MEGABYTE, detail="once")
        self._progress.update(self._fetching, completed=done // MEGABYTE)

    def note(self, text: str) -> None:
        """Above the bars."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """The bars stay as they are."""
        self._progress.stop()


class JsonLines:
    """One JSON object a line, for scripts: each has `event`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def _print(self, event: str, fields: Mapping[str, object]) -> None:
        text = json.dumps({"event": event, **fields})
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def training(self, title: str, rounds: int) -> None:
        """Event `Training`."""
        self._print("Training", {"title": title, "rounds": rounds})

    def said(self, message: FromAggregator) -> None:
        """The message itself; its type is the event."""
        fields = message.model_dump(mode="json", by_alias=True, exclude_none=True)
        self._print(fields.pop("type"), fields)

    def measuring(self, done: int, total: int) -> None:
        """Event `Measuring`."""
        self._print("Measuring", {"done": done, "total": total})

    def fetching(self, done: int, total: int) -> None:
        """Event `Fetching`."""
        self._print("Fetching", {"done": done, "total": total})

    def note(self, text: str) -> None:
        """Event `Note`."""
        self._print("Note", {"text": text})

    def close(self) -> None:
        """Nothing to tidy."""


class _Notes(logging.Handler):
    """Turns log lines into notes."""

    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.note(record.getMessage())


@contextmanager
def noted_warnings(display: Display) -> Iterator[None]:
    """Within the block, what Consilia's own log warns of is shown: that a log does not answer, for instance."""
    logger, notes = logging.getLogger("consilia"), _Notes(display)
    logger.addHandler(notes)
    try:
        yield
    finally:
        logger.removeHandler(notes)
