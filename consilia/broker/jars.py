"""Kafka's jars: named in kafka-4.3.1.lock, fetched from Maven Central, never used unless their sha256 is the lock's."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from consilia.errors import BrokerError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

KAFKA = "4.3.1"
AT_ONCE = 16
"""Downloads in parallel: most of the jars are small, so the time goes into waiting for answers."""
TRIES = 2
SILENCE_SECONDS = 20
"""A repository that says nothing for so long is given up."""

Progress = Callable[[int, int], None]
"""Told the bytes that are in place and the bytes in all, after each jar, always from the caller's own thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jar:
    """One line of the lock: Maven coordinates, and what the file must be."""

    group: str
    name: str
    version: str
    sha256: str
    size: int

    @property
    def file(self) -> str:
        """Its name in every Maven repository and in our folder."""
        return f"{self.name}-{self.version}.jar"


def locked_jars() -> tuple[Jar, ...]:
    """Everything that runs Kafka, in the order of the lock."""
    text = (files("consilia.broker") / f"kafka-{KAFKA}.lock").read_text(encoding="utf-8")
    return tuple(map(_parse, text.splitlines()))


def _parse(line: str) -> Jar:
    coordinates, sha256, size = line.split(" ")
    group, name, version = coordinates.split(":")
    return Jar(
        group=group, name=name, version=version, sha256=sha256.removeprefix("sha256="), size=int(size[len("size=") :])
    )


def cache_folder() -> Path:
    """$CONSILIA_CACHE, or else the user's cache folder by the XDG Base Directory specification."""
    if chosen := os.environ.get("CONSILIA_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "consilia"


def silent(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


def jars(folder: Path, progress: Progress = silent) -> tuple[Path, ...]:
    """Kafka's jars in `folder`, checked now; those that are missing or damaged are fetched first.

    Processes that ask for the same folder at once wait for the first of them. A folder that holds all jars is only
    read, so it may be read-only.

    Raises:
        BrokerError: a jar cannot be had, or what is served in its place is something else.
    """
    wanted = locked_jars()
    if any(_missing(folder, wanted)):
        with _alone_in(folder):
            _fetch(folder, list(_missing(folder, wanted)), progress)
    return tuple(folder / jar.file for jar in wanted)


def _missing(folder: Path, wanted: Sequence[Jar]) -> Iterator[Jar]:
    return (jar for jar in wanted if not _sound(folder / jar.file, jar))


def _sound(path: Path, jar: Jar) -> bool:
    try:
        with path.open("rb") as content:
            same_size = os.fstat(content.fileno()).st_size == jar.size
            return same_size and hashlib.file_digest(content, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False
    except OSError as error:
        raise BrokerError(
            f"cannot read {path}: {error.strerror}.", remedy="Check what it is and who may read it."
        ) from None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        message = f"cannot keep Kafka's jars in {folder}: {error.strerror}."
        raise BrokerError(message, remedy="Set CONSILIA_CACHE to a folder of yours.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fetch(folder: Path, missing: Sequence[Jar], progress: Progress) -> None:
    total, done = sum(jar.size for jar in missing), 0
    with _scratch_folder(folder) as scratch, ThreadPoolExecutor(AT_ONCE) as pool:
        context = _maven(scratch)
        fetched = {pool.submit(_fetch_one, context, jar, folder): jar for jar in missing}
        try:
            for each in as_completed(fetched):
                each.result()
                done += fetched[each].size
                progress(done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _scratch_folder(folder: Path) -> Iterator[Path]:
    """On the same file system as the jars, so that moving one into place is atomic."""
    scratch = folder / ".incomplete"
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        yield scratch
    except OSError as error:
        message = f"cannot write Kafka's jars into {folder}: {error.strerror}."
        raise BrokerError(message, remedy="Set CONSILIA_CACHE to a folder of yours.") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _maven(scratch: Path) -> "MavenContext":
    """Maven Central as jgo knows it, or the mirror that the environment names."""
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 (an extra)
    except ImportError:
        message = "Kafka's jars are not here, and the package jgo that fetches them is not installed."
        raise BrokerError(message, remedy="Install Consilia with the extra: pip install 'consilia[broker]'.") from None
    mirror = _mirror()
    remotes = {"mirror": mirror} if mirror else None
    return MavenContext(repo_cache=scratch, local_repos=[], remote_repos=remotes, timeout=SILENCE_SECONDS)


def _mirror() -> str | None:
    address = os.environ.get("CONSILIA_MAVEN_REPOSITORY")
    if not address:
        return None
    if urlsplit(address).scheme not in {"http", "https"} or not urlsplit(address).hostname:
        message = "CONSILIA_MAVEN_REPOSITORY is no address of a Maven repository."
        raise BrokerError(message, remedy="Set it to an http:// or https:// address, or unset it.")
    return address.rstrip("/")


def _fetch_one(context: "MavenContext", jar: Jar, folder: Path) -> None:
    path = _download(context, jar, TRIES)
    if not _sound(path, jar):
        message = (
            f"what {_repository()} serves as {jar.file} is not the file that Consilia was tested with; it is refused."
        )
        raise BrokerError(message, remedy="Something on the way changed it: try another network or mirror.")
    path.chmod(0o644)
    path.replace(folder / jar.file)


def _download(context: "MavenContext", jar: Jar, tries: int) -> Path:
    artifact = context.project(jar.group, jar.name).at_version(jar.version).artifact()
    try:
        path = context.resolver.download(artifact)
        assert path is not None
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; a RuntimeError says that it is not there
        if tries > 1:
            (context.repo_cache / artifact.component.path_prefix / jar.file).unlink(missing_ok=True)
            return _download(context, jar, tries - 1)
        message = f"cannot fetch {jar.file} from {_repository()}: {_reason(error)}."
        remedy = "Check the network, or set CONSILIA_MAVEN_REPOSITORY to a mirror that you can reach."
        raise BrokerError(message, remedy=remedy) from None
    return path


def _repository() -> str:
    """Where from, in words; of a mirror's address only the host, for there may be a password in it."""
    mirror = _mirror()
    return str(urlsplit(mirror).hostname) if mirror else "Maven Central"


def _reason(error: BaseException) -> str:
    """The innermost cause: what the operating system or TLS said."""
    if isinstance(error, RuntimeError):
        return "it is not there"
    while inner := error.__cause__ or error.__context__:
        error = inner
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
