"""Open the log that a URL names."""

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from consilia.errors import LogError
from consilia.log.interface import Log
from consilia.log.sqlite import SqliteLog


def open_log(url: str) -> Log:
    """Open a log by its URL.

    Args:
        url: `sqlite:///path/to/directory`; the path is absolute, `%20` stands for a space.

    Raises:
        LogError: no such kind of log, or it is damaged, of a newer format, or not ours to write.
        LogUnavailableError: it cannot be reached or is locked.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that opens no IPv6 address
        parts = urlsplit("")
    if parts.scheme != "sqlite":
        raise LogError(f"{url!r} names no log.", remedy="Write sqlite:///path/to/directory.")
    path = unquote(parts.path)
    if parts.netloc or parts.query or parts.fragment or not path.strip("/") or "\0" in path:
        raise LogError(f"{url!r} names no directory.", remedy="Write sqlite:///path/to/directory, three slashes.")
    return SqliteLog(Path(path))


def sqlite_url(directory: Path) -> str:
    """The URL of the SQLite log in a directory."""
    return f"sqlite://{quote(str(directory.absolute()))}"
