"""What the task's code never reads, though it lies in the folder that its modules come from."""

import pytest

from consilia_workers.privacy.setup import _far_from_data, _near_data
from consilia_workers.sandbox.keeper import Confined
from consilia_workers.settings import TrainerSettings

pytestmark = pytest.mark.usefixtures("landlock")
EVERYTHING = ("data/table", "key.pem", "ledger-key.pem", "ledger/entries", "mytask.py", "state/kept")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with everything in it."""
    home = tmp_path / "a home"
    for name in EVERYTHING:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("x")
    monkeypatch.syspath_prepend(str(home))
    return home


@pytest.mark.parametrize("confinement", [_far_from_data, _near_data])
def test_keys_and_the_ledger_are_hidden_from_whoever_describes_the_task_and_whoever_reads_the_data(folder, confinement):
    settings = TrainerSettings.model_construct(
        key=folder / "key.pem",
        state=folder / "state",
        data=folder / "data",
        ledger=f"file://{folder}/ledger".replace(" ", "%20"),
        ledger_key=folder / "ledger-key.pem",
        confinement="Required",
    )

    def seen():
        return [name for name in EVERYTHING if readable(folder / name)]

    with Confined("looks", lambda: lambda *_: ({"seen": seen()}, []), confinement(settings)) as process:
        found = process.ask({}).head["seen"]
    assert found == (["mytask.py"] if confinement is _far_from_data else ["data/table", "mytask.py"])


def readable(path):
    try:
        return path.read_text() == "x"
    except PermissionError:
        return False
