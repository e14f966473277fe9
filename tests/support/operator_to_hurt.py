"""`python operator_to_hurt.py SETTINGS NAMESPACE`: the real operator, whose watcher ends when stdin names it.

That is what befalls kopf (kopf#1276): a watcher ends, and nobody takes notice.
"""

import asyncio
import sys
from pathlib import Path

from consilia_operator.run import Place, run
from consilia_operator.settings import OperatorSettings


def hear() -> None:
    """On the next line are the plural of a kind and a namespace."""
    kill_watcher(*sys.stdin.readline().split())


def kill_watcher(plural: str, namespace: str) -> None:
    """At once, or as soon as there is one."""
    begins, ends = f"watcher for {plural}.", f"@{namespace}"
    names = {task: task.get_name() for task in asyncio.all_tasks()}
    found = [task for task, name in names.items() if name.startswith(begins) and name.endswith(ends)]
    for task in found:
        task.cancel()
        print(f"killed {task.get_name()}", flush=True)
    if not found:
        asyncio.get_running_loop().call_later(0.1, kill_watcher, plural, namespace)


async def main(settings: Path, namespace: str) -> None:
    """Until SIGTERM."""
    asyncio.get_running_loop().add_reader(sys.stdin, hear)
    await run(OperatorSettings.load(settings), Place(namespace=namespace, pod="one"))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
