"""`python -m benchmarks.fleet_members SETTINGS.json`: many hospitals of the fleet in one process, until SIGTERM."""

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fleet_member import Member
from benchmarks.named import also_known

_LOOK = 0.5
"""How often people look at offers, in seconds."""


async def run(members: Sequence[Member], begin: float, round_seconds: float) -> None:
    """Until cancelled; they come in one after the other, `begin` seconds apart."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_people(members))
        for each in members:
            group.create_task(each.run())
            group.create_task(_rounds(each, round_seconds))
            await asyncio.sleep(begin)


async def _people(members: Sequence[Member]) -> None:
    while True:
        for each in members:
            await each.decide()
        await asyncio.sleep(_LOOK)


async def _rounds(member: Member, seconds: float) -> None:
    while True:
        member.train()
        await asyncio.sleep(seconds)


def main() -> None:
    """Run."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    also_known(Path(told["names"]))
    members = [Member(each["papers"], denies=each["denies"]) for each in told["members"]]
    asyncio.run(run(members, told["begin"], told["roundSeconds"]))


if __name__ == "__main__":
    main()
