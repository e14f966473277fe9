"""`python -m benchmarks.named NAMES.json MODULE ...`: a module with names that no name server knows.

Takes the place of a cluster's DNS, for one process. The file may be written later than the process is started.
"""

import json
import runpy
import socket
import sys
from collections.abc import Callable
from pathlib import Path


def also_known(file: Path) -> None:
    """From now on this process knows the names in the file, too: a JSON object with addresses by name."""
    real: Callable[..., object] = socket.getaddrinfo

    def lookup(host: object, *arguments: object, **more: object) -> object:
        name = host.decode() if isinstance(host, bytes) else host
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return real(known.get(name, host), *arguments, **more)

    socket.getaddrinfo = lookup  # type: ignore[assignment]


def main() -> None:
    """Run the module as `python -m` would."""
    _, names, module, *_ = sys.argv
    sys.argv = sys.argv[2:]
    also_known(Path(names))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
