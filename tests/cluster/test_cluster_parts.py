"""The parts of the test cluster that take no cluster to be tried."""

import itertools
import json
import re
import subprocess
import sys
import tarfile

import pytest

from tests.cluster import archives
from tests.cluster.addresses import COUNT, NODES, Addresses
from tests.cluster.commands import output
from tests.cluster.components import CONTROL, FAKE_NODES, NEEDED
from tests.cluster.places import ROOT, ClusterError, Places
from tests.cluster.requirements import PACKAGES, find_go, install_packages


def test_no_two_clusters_share_an_address():
    blocks = [Addresses(index).block for index in range(COUNT)]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(blocks, 2))


@pytest.mark.parametrize("index", [0, COUNT - 1])
def test_the_parts_of_a_cluster_lie_within_its_block_and_apart(index):
    addresses = Addresses(index)
    pods = [addresses.pods_of(number) for number in range(NODES)]
    parts = [addresses.services, *pods, addresses.fake_pods, addresses.link]
    assert all(part.subnet_of(addresses.block) for part in parts)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(parts, 2))
    assert all(part.subnet_of(addresses.pods) for part in pods)
    assert all(addresses.node(number) in addresses.link for number in range(NODES))
    assert addresses.dns in addresses.services


@pytest.mark.parametrize("name", ["", "Two", "a-b", "../up", "averylongname", "1st", "a b"])
def test_what_cannot_be_a_name_is_refused(name):
    with pytest.raises(ClusterError, match="cannot be a cluster's name"):
        Places.of(name)


def test_a_folder_with_a_blank_is_refused(monkeypatch):
    monkeypatch.setenv("CONSILIA_CLUSTER_HOME", "/tmp/two words")
    with pytest.raises(ClusterError, match="blank"):
        Places.of("one")


@pytest.mark.parametrize("component", [*NEEDED, FAKE_NODES], ids=lambda component: component.name)
def test_every_module_is_pinned_and_has_its_hash(component):
    pinned = (component.sources / "go.mod").read_text()
    hashes = (component.sources / "go.sum").read_text()
    replaced = dict(re.findall(r"^\s*(\S+) => \S+ (\S+)$", pinned, re.MULTILINE))
    modules = re.findall(r"^(?:require)?\s+(\S+/\S+) (v\S+)", pinned, re.MULTILINE)
    assert component.version != "v0"
    assert [m for m, version in modules if f"{m} {replaced.get(m, version)} h1:" not in hashes] == []


def test_another_version_is_built_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("CONSILIA_CLUSTER_HOME", str(tmp_path))
    folders = {component.folder for component in (*NEEDED, FAKE_NODES)}
    assert len(folders) == len(NEEDED) + 1
    assert not CONTROL.built
    assert CONTROL.folder.name.startswith(f"kubernetes-{CONTROL.version}-")


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "hello"
    path.write_bytes(b"\x7fELF and so on")
    return path


def test_an_archive_says_what_it_holds_and_is_the_same_each_time(tmp_path, program):
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    archives.write(one, "localhost/hello:1", program, architecture="amd64")
    archives.write(two, "localhost/hello:1", program, architecture="amd64")
    assert list(archives.contents(one)) == ["localhost/hello:1"]
    assert one.read_bytes() == two.read_bytes()


def index_of(tmp_path, text):
    path = tmp_path / "odd.tar"
    (tmp_path / "index.json").write_text(text)
    with tarfile.open(path, "w") as tar:
        tar.add(tmp_path / "index.json", "index.json")
    return path


def test_what_is_no_archive_is_refused(tmp_path, program):
    odd = ["", "{}", json.dumps({"manifests": []}), json.dumps({"manifests": [{"digest": "sha256:0"}]})]
    for path in [program, tmp_path / "none.tar", *(index_of(tmp_path, text) for text in odd)]:
        with pytest.raises(ClusterError):
            archives.contents(path)


def test_a_failed_command_says_what_and_why():
    with pytest.raises(ClusterError, match=r"`sh -c echo no >&2; exit 3` ended with 3: no"):
        output("sh", "-c", "echo no >&2; exit 3")
    with pytest.raises(ClusterError, match="cannot be run"):
        output("no-such-command")
    with pytest.raises(ClusterError, match="longer than"):
        output("sleep", "9", timeout=0.05)


def script(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_an_old_go_is_refused_with_the_remedy(monkeypatch, tmp_path):
    script(tmp_path, "go", "echo go1.19.8")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"go1\.19\.8, too old .* Install Go 1\.\d+\.\d+ or newer"):
        find_go()


def test_missing_packages_are_named_where_there_is_no_apt_get(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("tests.cluster.requirements.PATH", "/nowhere")
    with pytest.raises(ClusterError, match=f"lacks {', '.join(sorted(set(PACKAGES.values())))}"):
        install_packages(print)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["load", "--name", "nowhere", "x.tar"], "does not run"),
        (["up", "--name", "Bad Name"], "cannot be a cluster's name"),
        (["status"], "no cluster runs"),
    ],
)
def test_the_command_line_says_what_is_wrong(arguments, said, tmp_path):
    command = [sys.executable, "-m", "tests.cluster", *arguments]
    env = {"CONSILIA_CLUSTER_HOME": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
