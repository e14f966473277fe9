"""buildah, as we call it: rootful, without a daemon, its storage in our cache."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scripts.images.cache import Cache
from scripts.images.context import EPOCH


@dataclass(frozen=True, slots=True)
class Buildah:
    """One storage."""

    cache: Cache

    def __call__(self, *arguments: str | Path) -> str:
        """Run one command of buildah's and return what it printed; what a build prints can be watched, too.

        Raises:
            subprocess.CalledProcessError: it failed, and has said why.
        """
        places = ("--root", self.cache.storage, "--runroot", self.cache.running, "--storage-driver", "overlay")
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(self.cache.scratch)}
        said = []
        with subprocess.Popen(
            ("buildah", *places, *arguments), env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                if arguments[0] == "build":  # it may take minutes
                    sys.stderr.write(line)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, ["buildah", arguments[0]])
        return "".join(said)

    def build(self, context: Path, tag: str, *arguments: str) -> set[str]:
        """Build a Dockerfile; the ids of all layers that it was built from, short, are returned.

        Times are fixed, so that the same sources make the same image. What buildah says goes to standard error.
        """
        fixed = ("build", "--layers", "--pull=false", "--network=host", "--timestamp", str(EPOCH))
        said = self(*fixed, "--tag", tag, *arguments, context)
        return set(re.findall(r"^--> ([0-9a-f]+)$", said, re.MULTILINE))

    def tags(self) -> set[str]:
        """All names that images have."""
        return set(self("images", "--format", "{{.Name}}:{{.Tag}}").split())

    def layers(self, tag: str) -> list[str]:
        """The digests of an image's layers as they are before compression, the lowest first."""
        found = json.loads(self("inspect", "--type", "image", tag))["OCIv1"]["rootfs"]["diff_ids"]
        return [str(each) for each in found]

    def forget(self, tags: Iterable[str], layers: set[str]) -> None:
        """Take away all images but these tags, and all nameless ones but these layers."""
        unnamed = self("images", "--filter", "dangling=true", "--quiet", "--no-trunc").split()
        stale = [each for each in unnamed if not any(each.removeprefix("sha256:").startswith(used) for used in layers)]
        stale += sorted(tag for tag in self.tags() - set(tags) if "<none>" not in tag)
        in_use = set(self("containers", "--notruncate", "--format", "{{.ImageID}} {{.ImageName}}").split())
        for each in set(stale) - in_use:  # what a container still uses stays until the next build
            self("rmi", each)
