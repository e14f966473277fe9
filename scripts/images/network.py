"""What a build must know of this machine's network, handed over as secrets that no layer keeps."""

import os
import shlex
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

NAMES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"),
    *("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT"),
    "CONSILIA_MAVEN_REPOSITORY",
)
"""Handed over as they are."""
TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
"""Told where the authorities are that this machine trusts."""
AUTHORITIES = "/run/secrets/ca"


def secrets(folder: Path) -> list[str]:
    """Arguments of buildah's for both secrets; they are written into the folder, for its owner's eyes."""
    network = folder / "network"
    network.touch(mode=0o600)
    network.write_text("".join(_exports(os.environ)), encoding="utf-8")
    authorities = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    sources = {"network": network, **({"ca": authorities} if authorities else {})}
    return [part for name, path in sources.items() for part in ("--secret", f"id={name},src={path}")]


def _exports(environment: Mapping[str, str]) -> Iterator[str]:
    known = {name: environment[name] for name in NAMES if environment.get(name)}
    index = known.get("UV_DEFAULT_INDEX") or known.get("UV_INDEX_URL") or known.get("PIP_INDEX_URL") or _pip_index()
    if index:  # pip and uv read each other's settings not at all
        known = {"UV_DEFAULT_INDEX": index, "PIP_INDEX_URL": index, **known}
    for name, value in known.items():
        yield f"export {name}={shlex.quote(value)}\n"
    yield f"if [ -r {AUTHORITIES} ]; then export {' '.join(f'{name}={AUTHORITIES}' for name in TRUST)}; fi\n"


def _pip_index() -> str:
    """The index of pip's configuration files, if they name one."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
