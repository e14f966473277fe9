"""What every client of the cluster is told, from the settings; secrets are read from their files here."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from consilia.errors import LogError
from consilia.kafka.settings import KafkaSettings

CLIENT = "consilia"
_LONGEST_PAUSE = 1000
"""Between two tries to reach a broker that is away, in milliseconds: it may be back in seconds."""


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """The keyword arguments that kafka-python's consumer, producer and admin client have in common.

    Raises:
        LogError: a file that the settings name cannot be read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "bootstrap_timeout_ms": round(settings.connect_seconds * 1000),
        "client_id": CLIENT,
        "reconnect_backoff_max_ms": _LONGEST_PAUSE,
        "metrics_enabled": False,
        "security_protocol": ("SASL_" if settings.username else "") + ("SSL" if settings.tls else "PLAINTEXT"),
    }
    if settings.tls:
        for name, path in (("ca", settings.ca), ("cert", settings.certificate), ("key", settings.key)):
            options[f"ssl_{name}file"] = str(_readable(path, name)) if path else None
    if settings.username:
        options["sasl_mechanism"] = "SCRAM-SHA-512"
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = _secret(settings.password)
    if settings.proxy:
        options["proxy_url"] = _proxy_url(settings)
    return options


def _readable(path: Path, what: str) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        message = f"cannot read the {what} file {path}: {error.strerror}."
        raise LogError(message, remedy="Correct the path in the Kafka settings, or the file's permissions.") from error
    return path


def _secret(path: Path | None) -> str:
    assert path is not None
    return _readable(path, "password").read_text().strip("\r\n")


def _proxy_url(settings: KafkaSettings) -> str:
    assert settings.proxy is not None
    if not settings.proxy_username:
        return settings.proxy
    scheme, _, address = settings.proxy.partition("://")
    user, password = quote(settings.proxy_username, safe=""), quote(_secret(settings.proxy_password), safe="")
    return f"{scheme}://{user}:{password}@{address}"
