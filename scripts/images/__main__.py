"""Build the images: `python -m scripts.images [NAME...]`; prints one line an image: its tag, a tab, its archive."""

import argparse
import os
import shutil
import subprocess
import sys

from scripts.images.cache import Cache
from scripts.images.making import NAMES, Request, images

TOOLS = ("buildah", "mmdebstrap")


def request(arguments: list[str]) -> Request:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m scripts.images", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--base", help="an image with Python, best with its digest; else a Debian is made here")
    parser.add_argument("--accelerator", choices=("cuda", "cpu", "stubs"), default="stubs")
    parser.add_argument("--torch-wheel", default="", help="for cpu: ADDRESS#sha256=DIGEST")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"there is no image {', '.join(sorted(unknown))}, only {', '.join(NAMES)}")
    if (asked.accelerator == "cpu") != ("#sha256=" in asked.torch_wheel):
        parser.error("cpu, and nothing else, needs --torch-wheel ADDRESS#sha256=DIGEST")
    return Request(
        names=asked.names or NAMES,
        base=asked.base or None,
        accelerator=asked.accelerator,
        torch_wheel=asked.torch_wheel,
    )


def ensure_tools() -> None:
    """Install what builds images, where that is possible; end with what to do where it is not."""
    if os.geteuid() != 0:
        sys.exit("images are built as root here; or use docker: docs/guides/images.md says how.")
    if all(map(shutil.which, TOOLS)):
        return
    if not shutil.which("apt-get"):
        sys.exit(f"install {' and '.join(TOOLS)} first, or use docker: docs/guides/images.md says how.")
    for command in (["update", "-q"], ["install", "-yq", "--no-install-recommends", *TOOLS, "debian-archive-keyring"]):
        subprocess.run(["apt-get", *command], check=True, stdout=sys.stderr)


def main() -> None:
    """Build, and print."""
    asked = request(sys.argv[1:])
    ensure_tools()
    try:
        for image in images(asked, Cache.of_this_user()):
            print(image.tag, image.archive, sep="\t")
    except subprocess.CalledProcessError as error:
        sys.exit(f"no images: {' '.join(map(str, error.cmd[:2]))} ended with {error.returncode}; it says why above.")


if __name__ == "__main__":
    main()
