"""Commands of the machine: run, and what goes wrong said with the command's own words."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.places import ClusterError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def output(
    *command: str | Path, stdin: str | None = None, timeout: float = 120, env: dict[str, str] | None = None
) -> str:
    """What a command prints.

    Raises:
        ClusterError: it failed, or took longer than `timeout` seconds.
    """
    words = list(map(str, command))
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, env=env, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"`{shown(words)}` took longer than {timeout:g} s.", remedy="Look at its log.") from None
    except OSError as error:
        raise ClusterError(f"`{words[0]}` cannot be run: {error}.", remedy="Install it.") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise ClusterError(f"`{shown(words)}` ended with {done.returncode}: {said}", remedy="See what it says.")
    return done.stdout


def succeeds(*command: str | Path) -> bool:
    """Whether a command that asks something says yes."""
    return subprocess.run(list(map(str, command)), capture_output=True, check=False).returncode == 0


def shown(words: Sequence[str]) -> str:
    """A command as a person would type it, cut where it is long."""
    line = " ".join(words)
    return line if len(line) < 300 else line[:300] + " …"
