"""Open the log that a URL names."""

from pathlib import Path
from urllib.parse import quote, unquote

from pydantic import ValidationError

from consilia.errors import LogError
from consilia.kafka.settings import KafkaSettings
from consilia.log.interface import Log
from consilia.log.sqlite import SqliteLog


def open_log(url: str) -> Log:
    """Open a log by its URL.

    Args:
        url: `sqlite:///path/to/directory`, or `kafka:///path/to/settings.json` with the fields of `KafkaSettings`;
            the path is absolute, `%20` stands for a space. `kafka://host:port,host:port` is a cluster that asks for
            no credentials.

    Raises:
        LogError: no such kind of log, or it is damaged, of a newer format, or not ours to write.
        LogAccessError: the cluster does not accept this party.
        LogUnavailableError: it cannot be reached or is locked.
    """
    scheme, _, rest = url.partition(":")
    rest = rest.removeprefix("//")
    match scheme:
        case "sqlite":
            return SqliteLog(_path(url, rest, "directory"))
        case "kafka":
            return _open_kafka(_kafka_settings(url, rest))
        case _:
            remedy = "Write sqlite:///path/to/directory, or kafka:///path/to/settings.json."
            raise LogError(f"{url!r} names no log.", remedy=remedy)


def _path(url: str, rest: str, what: str) -> Path:
    path = unquote(rest)
    if not rest.startswith("/") or not path.strip("/") or set(rest) & set("?#") or "\0" in path:
        scheme = url.partition(":")[0]
        raise LogError(f"{url!r} names no {what}.", remedy=f"Write {scheme}:///path/to/{what}, three slashes.")
    return Path(path)


def _kafka_settings(url: str, rest: str) -> KafkaSettings:
    if rest.startswith("/"):
        return KafkaSettings.load(_path(url, rest, "settings.json"))
    try:
        return KafkaSettings(bootstrap_servers=tuple(rest.split(",")))
    except ValidationError as error:
        remedy = "Write kafka://host:port, or kafka:///path/to/settings.json."
        raise LogError(f"{url!r} names no brokers.", remedy=remedy) from error


def _open_kafka(settings: KafkaSettings) -> Log:
    # Not above: who uses SQLite does not pay for loading a Kafka client.
    from consilia.kafka.log import KafkaLog  # noqa: PLC0415

    return KafkaLog(settings)


def sqlite_url(directory: Path) -> str:
    """The URL of the SQLite log in a directory."""
    return f"sqlite://{quote(str(directory.absolute()))}"


def kafka_url(settings: Path) -> str:
    """The URL of the log on the Kafka cluster that a file of settings names."""
    return f"kafka://{quote(str(settings.absolute()))}"
