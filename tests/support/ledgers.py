"""Ledgers for tests: small plans, contents, and a program that spends until it is killed."""

import os
import random
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from consilia.errors import BudgetError
from consilia.ledger.content import Content
from consilia.ledger.interface import Budget
from consilia.ledger.ledger import Ledger
from consilia.privacy.accounting import curve, epsilon
from consilia.privacy.mechanisms import Mechanism
from consilia.privacy.plan import JobPlan
from consilia.wire.identity import Identity

ROUND = Mechanism(kind="SampledGaussian", noise_multiplier="2", sample_rate="0.1", steps=10)
HOSPITAL = "riverside"


def content(text="patients"):
    return Content(f"sha256:{text.encode().hex():0>64.64}")


def plan(rounds=5, training=ROUND, epsilon=None, delta=1e-5):
    return JobPlan(rounds=rounds, training=training, evaluation=None, evaluations=0, epsilon=epsilon, delta=delta)


def budget(epsilon="3", **more):
    return Budget(epsilon=epsilon, delta="1e-5", **more)


def open_ledger(folder, identity=None):
    key = folder.parent / f"{folder.name}.pem"
    if identity is None and not key.exists():
        Identity.generate(HOSPITAL).save(key)
    return Ledger(folder, identity or Identity.load(HOSPITAL, key))


def account_of(ledger, epsilon="3", dataset="heart"):
    account = ledger.register(dataset, content(dataset), "Record")
    ledger.set_budget(account, budget(epsilon))
    return account


def reserve(ledger, account, job="job", round_number=1, mechanism=ROUND):
    return ledger.reserve(account, job, round_number, mechanism, nonce=secrets.token_hex(16))


def spend_all(ledger, account):
    for number in range(1, 1000):
        try:
            reserve(ledger, account, round_number=number)
        except BudgetError as refused:
            return refused
    raise AssertionError("there was no end of it")


class Deadly:
    """Kills this process before, in the middle of, or after the n-th write or sync to the disk."""

    def __init__(self, at: int, how: str, seed: float) -> None:
        self._left, self._how, self._random = at, how, random.Random(seed)
        self._write, self._sync = os.write, os.fsync

    def write(self, descriptor, data):
        if self._due():
            if self._how == "within":
                self._write(descriptor, bytes(data)[: self._random.randrange(1, len(data))])
            elif self._how == "after":
                self._write(descriptor, data)
            os.kill(os.getpid(), signal.SIGKILL)
        return self._write(descriptor, data)

    def fsync(self, descriptor):
        if self._due():
            if self._how == "after":
                self._sync(descriptor)
            os.kill(os.getpid(), signal.SIGKILL)
        self._sync(descriptor)

    def _due(self):
        self._left -= 1
        return self._left == 0


def spend(folder: Path, released: Path, at: int, how: str, seed: float) -> None:
    """What a trainer does, round after round: reserve, make, keep, commit, release. It is killed on the way."""
    ledger = open_ledger(folder)
    account = account_of(ledger, "8")
    deadly = Deadly(at, how, seed)
    os.write, os.fsync = deadly.write, deadly.fsync
    ledger.admit(account, "job", plan(20))
    begun = len(released.read_text().split()) if released.exists() else 0
    for round_number in range(begun + 1, 21):
        charge = reserve(ledger, account, round_number=round_number)
        made = f"sha256:{secrets.token_hex(32)}"
        ledger.commit(charge.reservation, made)
        with released.open("a") as file:
            file.write(made + "\n")
            file.flush()
            os.fsync(file.fileno())


class Nursery:
    """A process that has loaded everything and forks one child after another, to be killed: a second each is saved."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def spend(self, folder, at, how, seed):
        """Let a child spend until it is killed or done; its exit code."""
        self._process.stdin.write(f"{folder} {at} {how} {seed}\n")
        return int(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def bear() -> None:
    """One child for each line on standard input."""
    epsilon(curve(ROUND), 1e-5)  # loads what takes long
    for line in sys.stdin:
        folder, at, how, seed = line.split()
        child = os.fork()
        if child == 0:
            spend(Path(folder) / "ledger", Path(folder) / "released", int(at), how, float(seed))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    bear()
