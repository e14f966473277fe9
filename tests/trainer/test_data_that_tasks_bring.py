"""Data that lies in no file, and that a task brings along, is known to the ledger again whatever it is called."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ledgers import open_ledger
from worlds import make_job

from consilia.api import FederatedJob
from consilia_workers.privacy.setup import Prepared, _content
from consilia_workers.settings import TrainerSettings
from consilia_workers.source import Split


class InMemory:
    """A split that was read."""

    def __init__(self, seed):
        self._rows = torch.from_numpy(np.random.default_rng(seed).normal(size=(20, 3)))
        self.count = len(self._rows)

    def take(self, rows):
        return self._rows[torch.from_numpy(rows)]


def account(ledger, dataset, *, seed=None, parameters=None, place=None, entrypoint=None):
    """Whose it is; with a seed its records were read, as for DPSGD, else it is learned from in the dark."""
    job = make_job(["a"]).model_dump(by_alias=True, mode="json", exclude_none=True)
    job["spec"]["task"] |= {"parameters": parameters or {}} | ({"entrypoint": entrypoint} if entrypoint else {})
    found = Prepared(
        job=FederatedJob.model_validate(job),
        settings=TrainerSettings.model_construct(hospital="a", data=None, data_parameters=place or {}),
        records={} if seed is None else {split: InMemory(seed) for split in Split},
        graph=None,
        in_the_dark=SimpleNamespace() if seed is None else None,
    )
    return ledger.register(dataset, _content(found, ledger.content_key()), "Record")


@pytest.fixture
def ledger(tmp_path: Path):
    return open_ledger(tmp_path / "ledger")


def test_a_new_name_for_what_is_learned_from_in_the_dark_refunds_nothing(ledger):
    first = account(ledger, "heart")
    assert account(ledger, "renamed") == first
    assert account(ledger, "again", parameters={"hidden": 64}) == first, "the researcher chooses those"


def test_another_mechanism_and_a_new_name_refund_nothing(ledger):
    first = account(ledger, "heart", seed=1)
    assert account(ledger, "renamed") == first
    assert account(ledger, "and back", seed=1) == first


def test_another_task_and_another_place_are_other_data(ledger):
    first = account(ledger, "heart")
    assert account(ledger, "lungs", entrypoint="other.module:Task") != first
    assert account(ledger, "site 2", place={"site": "2"}) != first
