"""The inspection of a Dataset, as its pod runs it: the ledger knows the data afterwards, or it says why not."""

import pytest
from ledgers import HOSPITAL

from consilia.ledger.ledger import Ledger
from consilia.wire.identity import Identity
from consilia_workers import programs
from consilia_workers.inspection import InspectionSettings
from consilia_workers.ledger_service import LedgerServer


@pytest.fixture
def inspect(tmp_path):
    """Runs the program; its exit code."""
    identity = Identity.generate(HOSPITAL)
    identity.save(tmp_path / "key.pem")
    (tmp_path / "data.csv").write_text("".join(f"patient {number},{number}\n" for number in range(100)))
    ledger = Ledger(tmp_path / "ledger", identity)
    server = LedgerServer(0, identity, ledger)
    server.start()

    def run(**changes):
        settings = InspectionSettings(
            hospital=HOSPITAL, dataset="heart", data=tmp_path / "data.csv", unit="Record",
            ledger=f"http://127.0.0.1:{server.port}", key=tmp_path / "key.pem",
        ).model_copy(update=changes)  # fmt: skip
        settings.save(tmp_path / "settings.json")
        return programs.main(["inspect", str(tmp_path / "settings.json")])

    run.ledger, run.folder = ledger, tmp_path
    yield run
    server.close()


def test_the_ledger_knows_the_data_afterwards_under_whatever_name(inspect):
    assert inspect() == 0
    assert inspect(dataset="another-name") == 0
    assert inspect.ledger.find("heart") == inspect.ledger.find("another-name") is not None


WRONG = {
    "data that is missing": ({"data": "nowhere.csv"}, 1, "is missing"),
    "data of another unit": ({"unit": "Patient"}, 1, "an account for each Record, not for each Patient"),
    "a ledger that is away": ({"ledger": "http://127.0.0.1:1"}, 75, "cannot be reached"),
}


@pytest.mark.parametrize(("changes", "code", "told"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told_and_whether_to_try_again(inspect, changes, code, told, capfd):
    assert inspect() == 0
    if "data" in changes:
        changes = {"data": inspect.folder / changes["data"]}
    assert inspect(**changes) == code
    assert told in capfd.readouterr().err


def test_settings_that_are_wrong_are_told(tmp_path, capfd):
    (tmp_path / "settings.json").write_text('{"hospital": "riverside"}')
    assert programs.main(["inspect", str(tmp_path / "settings.json")]) == 1
    assert "cannot use the settings" in capfd.readouterr().err
