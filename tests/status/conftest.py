"""The world of the status tests."""

from pathlib import Path

import pytest
from worlds import World, make_job


@pytest.fixture
def world(tmp_path: Path):
    """Makes worlds: `world("a", "b", rounds={...})`."""
    made: list[World] = []

    def make(*names: str, **spec: object) -> World:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(World(folder, make_job(list(names), **spec)))
        return made[-1]

    yield make
    for each in made:
        each.close()
