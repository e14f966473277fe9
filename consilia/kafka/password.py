"""A password, from the file that holds it and nothing else."""

from pathlib import Path

from consilia.errors import LogError


def read_password(path: Path, setting: str = "password") -> str:
    """The file's text without the end of its line; `setting` is the field that names the file.

    Raises:
        LogError: the file cannot be read, is empty or is no text.
    """
    try:
        password = path.read_text(encoding="utf-8").strip("\r\n")
    except OSError as error:
        raise _unusable(f"cannot read the password file {path}: {error.strerror}", setting) from None
    except UnicodeDecodeError:
        raise _unusable(f"the password file {path} is no UTF-8 text", setting) from None
    if not password:
        raise _unusable(f"the password file {path} is empty", setting)
    return password


def _unusable(message: str, setting: str) -> LogError:
    return LogError(f"{message}.", remedy=f"Correct {setting} in the Kafka settings, or the file and who may read it.")
