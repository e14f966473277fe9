"""The ledger's program, killed by SIGKILL within any write or sync: nothing is lost, and nothing charged twice."""

import os
import random
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from ledgers import HOSPITAL, account_of, plan

from consilia.broker.ports import free_ports
from consilia.errors import LedgerUnavailableError
from consilia.ledger.journal import read_entries
from consilia.ledger.remote import RemoteLedger
from consilia.privacy.mechanisms import Mechanism, rounded_up
from consilia.wire.identity import Identity
from consilia_workers import spending
from consilia_workers.ledger_service import LedgerSettings

KEY = Identity.generate(HOSPITAL)
OUTPUT = "sha256:" + "1" * 64
SMALL = Mechanism(kind="Gaussian", noise_multiplier="60")
NURSERY = """
import os, sys
from ledgers import *
from consilia_workers import ledger_service
epsilon(curve(Mechanism(kind="Gaussian", noise_multiplier="60")), 1e-5)  # loads what takes long
for line in sys.stdin:
    settings, at, how, seed = line.split()
    if (child := os.fork()) == 0:
        deadly = Deadly(int(at), how, float(seed))
        os.write, os.fsync = deadly.write, deadly.fsync
        os._exit(ledger_service.main(Path(settings)))
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@contextmanager
def programs(folder):
    """A port, and what starts the program there, to be killed by SIGKILL at a certain write or sync."""
    path, (port,), runs = folder / "settings.json", free_ports(1), []
    KEY.save(folder / "key")
    LedgerSettings(folder=folder / "ledger", key=folder / "key", hospital=HOSPITAL, port=port).save(path)
    support = {"PYTHONPATH": str(Path(__file__).parents[1] / "support")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen([sys.executable, "-c", NURSERY], bufsize=1, env=os.environ | support, **pipes) as nursery:

        def start(at, how, seed):
            if runs and runs.pop():
                next(line for line in nursery.stdout if line.startswith("ended -9"))
            nursery.stdin.write(f"{path} {at} {how} {seed}\n")
            runs.append("ended" not in next(each for each in nursery.stdout if re.search("ledger on|^ended", each)))

        try:
            yield RemoteLedger(f"http://127.0.0.1:{port}", KEY), start
        finally:
            psutil.Process(nursery.pid).children()[0].terminate()
            nursery.stdin.close()
            assert nursery.stdout.readlines()[-1] == "ended 0\n"


def test_a_service_killed_at_any_moment_loses_nothing_and_charges_nothing_twice(tmp_path, monkeypatch):
    seeded, charges, kills, file = random.Random(1), [], [], tmp_path / "ledger" / "ledger.jsonl"

    def of(kind):
        return [each for each in read_entries(file)[0] if each.type == kind] if file.exists() else []

    def revive(_pause=0):
        assert set(charges) <= {each.number for each in of("Reserved")}
        kills.append(seeded.choice(["before", "within", "after"]))
        start(seeded.randrange(1, 25), kills[-1], seeded.random())

    def insist(method, *asked):
        while True:
            try:
                return method(*asked)
            except LedgerUnavailableError:
                revive()

    with programs(tmp_path) as (ledger, start):
        monkeypatch.setattr(spending, "sleep", revive)
        purse = spending.Purse(ledger, insist(account_of, ledger, "100"), "job", plan(100, SMALL))
        for number in range(100):
            charges.append(purse.reserve(number, "Training"))
            told = insist(ledger.state, purse.account, "job")
            assert purse.epsilon() == rounded_up(told.spent_by_job)
            purse.commit(charges[-1], OUTPUT)
    assert [each.number for each in of("Reserved")] == charges
    assert [each.reservation for each in of("Committed")] == charges
    assert len(kills) > 20


def test_a_ledger_that_never_answers_is_given_up_in_time(monkeypatch):
    waited = []
    monkeypatch.setattr(spending, "monotonic", lambda: sum(waited))
    monkeypatch.setattr(spending, "sleep", waited.append)
    nowhere = spending.Purse(RemoteLedger(f"http://127.0.0.1:{free_ports(1)[0]}", KEY), "0" * 16, "job", plan(5))

    with pytest.raises(LedgerUnavailableError):
        nowhere.reserve(1, "Training")
    assert sum(waited) == spending.PATIENCE
