"""The images that `make images` builds, taken apart and run as Kubernetes would run them."""

import os
import re
import shutil
import stat
import subprocess
import tarfile
from contextlib import ExitStack
from importlib.metadata import distributions
from pathlib import Path

import pytest
from image_roots import read, unpacked
from needed import missing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.images.buildah import Buildah
from scripts.images.cache import Cache
from scripts.images.inside.locks import CUDA, entries
from scripts.images.making import NAMES, ROOT, Request, images
from scripts.images.network import NAMES as OF_THE_NETWORK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
each_image = pytest.mark.parametrize("name", NAMES)

LARGEST = {"operator": 440, "worker": 1400, "kafka": 520}
"""MB on disk, of the worker without CUDA."""
BUILDERS = {"pip", "pip3", "uv", "gcc", "cc", "g++", "ld", "as", "make", "javac"}
TRAIN = """
import torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
optimizer, inputs = torch.optim.Adam(model.parameters(), lr=0.01), torch.randn(64, 4)
losses = []
for _ in range(50):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(inputs), inputs.sum(1, keepdim=True))
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
convolved = torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2))
print(torch.cuda.is_available(), torch.cuda.device_count(), losses[-1] < losses[0] / 2, convolved.sum().item())
"""


@pytest.fixture(scope="module")
def built():
    """All three, made now unless they are there: name to its files."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("buildah", "mmdebstrap"))):
        missing("images are built as root, by buildah and mmdebstrap: make images")
    cache = Cache.of_this_user()
    with ExitStack() as stack:
        yield {image.name: stack.enter_context(unpacked(image, Buildah(cache))) for image in images(Request(), cache)}


def entrypoint(name):
    return {"operator": "consilia_operator", "worker": "consilia_workers", "kafka": "consilia.broker.node"}[name]


@each_image
def test_an_image_starts_its_program_as_our_user_on_a_read_only_root(built, name):
    own = built[name].configuration["config"]
    assert (own["User"], own["Entrypoint"]) == ("10001:10001", ["python", "-m", entrypoint(name)])
    asked = built[name].run(*own["Entrypoint"], "--help", check=False)
    assert "usage" in (asked.stdout + asked.stderr).lower()
    assert built[name].run(
        "sh", "-c", "id -u; id -g; touch /tmp/x; touch /x 2>/dev/null || echo no"
    ).stdout.split() == [
        "10001",
        "10001",
        "no",
    ]


@each_image
def test_nothing_in_an_image_installs_compiles_or_makes_another_user(built, name):
    files = [path for path in built[name].root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not {path.name for path in files if path.stat().st_mode & 0o111} & BUILDERS
    assert not [path for path in files if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)]
    for module in ("pip", "ensurepip"):
        assert built[name].run("python", "-c", f"import {module}", check=False).returncode == 1


@each_image
def test_our_user_can_write_nothing_but_temporary_folders(built, name):
    search = ("find", "/", "-xdev", "-writable", "-not", "-type", "l")
    found = built[name].run(*search, check=False).stdout  # it complains of folders that it may not even read
    assert set(found.split()) <= {"/tmp", "/var/tmp", "/run/lock"}


@each_image
def test_an_image_is_no_larger_than_it_was(built, name):
    done = subprocess.run(["du", "-xsm", built[name].root], check=True, capture_output=True, text=True)
    assert int(done.stdout.split()[0]) < LARGEST[name]


@each_image
def test_an_image_knows_nothing_of_the_machine_that_built_it(built, name):
    told = [os.environ[each] for each in OF_THE_NETWORK if len(os.environ.get(each, "")) > 3]
    resolvers = re.findall(r"^nameserver (\S+)", Path("/etc/resolv.conf").read_text(), re.MULTILINE)
    secrets = [str(ROOT), *told, *(each for each in resolvers if not each.startswith("127."))]
    said = str(built[name].configuration)
    texts = [path for path in (built[name].root / "etc").rglob("*") if path.is_file() and not path.is_symlink()]
    said += "".join(path.read_text(errors="replace") for path in texts if "ssl/certs" not in str(path))
    assert not any((built[name].root / "etc" / each).read_text() for each in ("hostname", "hosts", "resolv.conf"))
    assert [each for each in secrets if re.search(rf"\b{re.escape(each)}\b", said)] == []
    assert not [
        path for path in (built[name].root / "run").rglob("*") if path.is_file() and path.name != ".containerenv"
    ]


@each_image
def test_an_image_holds_what_its_packages_need_at_the_locked_versions(built, name):
    locked = entries((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    (folder,) = built[name].root.glob("opt/consilia/lib/python3*/site-packages")
    found = {canonicalize_name(each.name): each for each in distributions(path=[str(folder)])}
    version = folder.parent.name.removeprefix("python")
    environment = {"python_version": version, "python_full_version": f"{version}.0", "extra": ""}
    needs = [Requirement(line) for each in found.values() for line in each.requires or ()]
    names = {canonicalize_name(each.name) for each in needs if not each.marker or each.marker.evaluate(environment)}
    assert {each for each in names - found.keys() if not CUDA.fullmatch(each)} == set()
    for package, each in found.items():
        plain = each.version.partition("+")[0]
        assert package == "consilia" or re.search(
            rf"^{re.escape(package)}=={re.escape(plain)}\b", locked[package], re.MULTILINE
        )


@each_image
def test_an_archive_names_its_image_for_every_tool(built, name):
    image = built[name].image
    with tarfile.open(image.archive) as archive:
        (entry,) = read(archive, "index.json")["manifests"]
        assert set(entry["annotations"].values()) == {image.tag}
        labels = built[name].configuration["config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == f"consilia-{name}"
    assert image.tag.partition(":")[2].startswith(labels["org.opencontainers.image.version"])


@each_image
def test_every_module_is_compiled_beforehand(built, name):
    """Else each start compiles it anew: the image is read-only."""
    (folder,) = built[name].root.glob("opt/consilia/lib/python3*/site-packages/consilia")
    sources = {path.stem for path in folder.glob("*.py")}
    assert {path.name.partition(".")[0] for path in (folder / "__pycache__").iterdir()} == sources
    said = built[name].run("python", "-v", "-c", "import consilia.errors").stderr
    assert re.search(r"code object from '\S*consilia/__pycache__/errors", said)


def test_the_worker_trains_on_the_processor_and_sees_no_gpu(built):
    assert built["worker"].run("python", "-c", TRAIN).stdout.split() == ["False", "0", "True", "16.0"]


def test_the_worker_has_the_commands_of_its_users(built):
    assert "run" in built["worker"].run("consilia", "--help").stdout
    assert built["worker"].run("consilia-model", "--help").stdout


def test_the_kafka_image_finds_its_java_its_jars_and_a_formatted_folder(built):
    script = (
        "from consilia.broker.runtime import Runtime; r = Runtime.find(); print(len(r.jars), *r.template.iterdir())"
    )
    count, template = built["kafka"].run("python", "-c", script).stdout.split()
    assert int(count) > 20
    assert Path(template).name == "bootstrap.checkpoint"


def test_the_same_sources_are_the_same_images_at_once(built):
    again = images(Request(), Cache.of_this_user())
    assert [image.tag for image in again] == [built[name].image.tag for name in NAMES]
