"""Both builds, for all tests of this folder."""

import pytest


@pytest.fixture(scope="session")
def builds(tmp_path_factory):
    """By version: the build before this one, and this one."""
    from two_versions import NEW, OLD, earlier_build, this_build

    return {OLD: earlier_build(tmp_path_factory.mktemp("build")), NEW: this_build()}
