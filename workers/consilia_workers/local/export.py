"""The final model as an ordinary safetensors file."""

from pathlib import Path

from consilia.log import Log
from consilia_workers.rounds.recovery import find_model


def export_model(log: Log, job: str, version: int, path: Path) -> None:
    """Write the model that round `version` gave; anybody's `safetensors.torch.load_file` reads it.

    Raises:
        RecordGoneError: it is not on the log (any more).
    """
    stored = find_model(log, job, version)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        for index in range(len(stored.offsets)):
            file.write(stored.chunk(log, index))
    partial.replace(path)


def read_head(path: Path) -> bytes:
    """The beginning of a safetensors file: the length and the JSON."""
    with path.open("rb") as file:
        length = file.read(8)
        return length + file.read(int.from_bytes(length, "little"))
