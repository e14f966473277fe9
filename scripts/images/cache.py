"""Where images lie while they are made, and between two builds."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of the user's; everything in it can be made again."""

    folder: Path

    @classmethod
    def of_this_user(cls) -> "Cache":
        """By the XDG Base Directory specification."""
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(home / "consilia" / "images")

    @property
    def storage(self) -> Path:
        """Layers, as buildah keeps them."""
        return self.folder / "storage"

    @property
    def running(self) -> Path:
        """What buildah needs while it runs."""
        return self.folder / "run"

    @property
    def layout(self) -> Path:
        """Layers, as images carry them: compressed once, shared by all images (an OCI image layout)."""
        return self.folder / "layout"

    @property
    def archives(self) -> Path:
        """One file an image."""
        return self.folder / "archives"

    @property
    def scratch(self) -> Path:
        """What buildah leaves behind when it is killed is swept from here."""
        return self.folder / "tmp"

    @property
    def context(self) -> Path:
        """What the Dockerfile can copy from."""
        return self.folder / "context"

    @property
    def base(self) -> Path:
        """The Debian that stands in for an image from a registry."""
        return self.folder / "base"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process builds here."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir()
            yield
