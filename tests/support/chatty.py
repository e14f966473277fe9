"""A task's module as people write them: it prints, and reads, when it is imported."""

import sys

from drifting import Drifting

print('{"event": "started", "name": "nobody", "pid": 1}')
print("loading", sys.stdin.read())

__all__ = ["Drifting"]
