"""The build of the minor version before is kept, and is what it says."""

import lzma

from two_versions import NEW, OLD, kept, unpacked

from scripts import keep_build

LARGEST = 600_000
"""Of an archive, in bytes."""


def test_the_build_of_the_version_before_is_here_and_no_other():
    there = sorted(path.name for path in (keep_build.ROOT / keep_build.BUILDS).iterdir())
    assert there == [f"{OLD}.tar.xz"], "who raises the minor version keeps the build before: CONTRIBUTING.md"


def test_it_is_what_is_packed_of_its_own_sources_and_nothing_else(builds):
    assert keep_build.minor(builds[OLD].root) == OLD
    assert keep_build.tar(builds[OLD].root) == lzma.decompress(kept().read_bytes())
    assert {path.suffix for path in keep_build.files(builds[OLD].root)} <= keep_build.SUFFIXES
    assert kept().stat().st_size < LARGEST


def test_a_build_of_these_sources_could_be_kept_in_its_place(tmp_path):
    """Whoever raises the version next must not find out then that it cannot be."""
    folder = tmp_path / "builds"
    folder.mkdir()
    (folder / f"{OLD}.tar.xz").write_bytes(b"the one before")
    found = keep_build.keep(folder)
    assert list(folder.iterdir()) == [folder / f"{NEW}.tar.xz"] == [found]
    assert found.stat().st_size < LARGEST
    again = unpacked(found, tmp_path / "unpacked", NEW)
    assert keep_build.tar(again.root) == keep_build.tar(keep_build.ROOT)
