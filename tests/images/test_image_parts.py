"""What builds the images, part by part, without building any."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from needed import missing

from scripts.images import network
from scripts.images.__main__ import request
from scripts.images.archive import _write, forget
from scripts.images.context import digest, stage
from scripts.images.inside import locks
from scripts.images.making import ROOT


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda folder: os.utime(folder / "two", (1, 1)), True),
        (lambda folder: (folder / "empty").mkdir(), True),
        (lambda folder: (folder / "two").write_text("3"), False),
        (lambda folder: (folder / "two").chmod(0o755), False),
        (lambda folder: (folder / "two").rename(folder / "three"), False),
        (lambda folder: (folder / "a" / "three").write_text(""), False),
    ],
    ids=["time", "empty folder", "content", "mode", "name", "new file"],
)
def test_a_digest_is_over_names_modes_and_contents(folder, change, same):
    before = digest(folder)
    change(folder)
    assert (digest(folder) == before) == same


def test_the_same_sources_give_the_same_context_wherever_they_lie(tmp_path):
    assert stage(ROOT, tmp_path / "one") == stage(ROOT, tmp_path / "two")


def test_what_tools_leave_beside_sources_changes_nothing(tmp_path):
    root, context = tmp_path / "root", tmp_path / "context"
    stage(ROOT, root)
    before = stage(root, context)
    for litter in ("consilia/__pycache__/errors.cpython-313.pyc", "scripts/images/inside/.mypy_cache/3.13/cache.db"):
        (root / litter).parent.mkdir(parents=True)
        (root / litter).write_text("made by a tool")
    assert stage(root, context) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trainer"], "there is no image trainer"),
        (["--accelerator", "cpu"], "needs --torch-wheel"),
        (["--accelerator", "cpu", "--torch-wheel", "https://example.org/torch.whl"], "#sha256="),
        (["--torch-wheel", "https://example.org/torch.whl#sha256=00"], "and nothing else"),
        (["--accelerator", "rocm"], "invalid choice"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_before_anything_is_built(arguments, says, capsys):
    with pytest.raises(SystemExit) as ended:
        request(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def sourced(script):
    """What a shell has in its environment after reading this."""
    done = subprocess.run(["sh"], input=f"{script}\nexec env -0", text=True, check=True, capture_output=True)
    return dict(each.partition("=")[::2] for each in done.stdout.split("\0"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30))
def test_a_shell_reads_back_every_address_whatever_is_in_it(address):
    told = sourced("".join(network._exports({"UV_DEFAULT_INDEX": address, "SOME_PASSWORD": "secret"})))
    assert (told["UV_DEFAULT_INDEX"], told["PIP_INDEX_URL"]) == (address, address)
    assert "SOME_PASSWORD" not in told


def test_secrets_are_for_their_owners_eyes(tmp_path):
    network.secrets(tmp_path)
    assert (tmp_path / "network").stat().st_mode & 0o777 == 0o600


LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_cutting_the_lock_loses_nothing_and_adds_nothing():
    cut = locks.entries(LOCK)
    assert sorted("".join(cut.values()).splitlines()) == sorted(LOCK.splitlines())
    assert all(entry.count("--hash=sha256:") >= entry.count("==") - entry.count("_") for entry in cut.values())
    assert cut["numpy"].count("numpy==") == 2


def layout_of(folder, **images):
    """An OCI image layout with one-layer images: name to the layer's content."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content):
        name = hashlib.sha256(content).hexdigest()
        (blobs / name).write_bytes(content)
        return {"digest": f"sha256:{name}", "size": len(content)}

    entries = []
    for name, layer in images.items():
        manifest = {"config": blob(b"{}"), "layers": [blob(layer.encode())]}
        annotations = {"org.opencontainers.image.ref.name": name}
        entries.append({**blob(json.dumps(manifest).encode()), "annotations": annotations})
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return entries


def test_an_archive_holds_one_image_of_the_layout_and_whole(tmp_path):
    worker, _ = layout_of(tmp_path, worker="torch", kafka="java")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        _write(archive, tmp_path, worker, "localhost/worker:1")
    with tarfile.open(fileobj=io.BytesIO(content.getvalue())) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}
    assert {name.rpartition("/")[2] for name in files if name.startswith("blobs")} == {
        hashlib.sha256(each).hexdigest() for name, each in files.items() if name.startswith("blobs")
    }
    assert b"torch" in files.values()
    assert b"java" not in files.values()


def test_a_layer_goes_with_the_last_image_that_had_it(tmp_path):
    entries = layout_of(tmp_path, worker="torch", kafka="java")
    del entries[0]["annotations"]  # as buildah leaves an image whose name another took
    (tmp_path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    forget(tmp_path)
    left = {path.read_bytes() for path in (tmp_path / "blobs" / "sha256").iterdir()}
    assert b"java" in left
    assert b"torch" not in left
    assert len(left) == 3


@pytest.fixture
def compiler():
    if not all(map(shutil.which, ("gcc", "readelf"))):
        missing("gcc and readelf are not here: apt-get install gcc binutils")

    def compile_library(path, code, *options):
        command = [
            "gcc",
            "-shared",
            "-fPIC",
            f"-Wl,-soname,{path.name}",
            "-o",
            path,
            "-x",
            "c",
            "-",
            "-x",
            "none",
            *options,
        ]
        subprocess.run(command, input=code, text=True, check=True)

    return compile_library


FATBIN = '__attribute__((section(".nv_fatbin"), used)) static const char code[1 << 20] = {1};\n'


def loaded(path, function):
    """What a function of the library returns, called in a process of its own, as a broken library kills."""
    program = f"import ctypes; print(ctypes.CDLL({str(path)!r}).{function}())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_a_library_without_its_code_for_gpus_is_small_and_still_works(compiler, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts" / "images" / "inside")
    from hollow import hollow

    library = tmp_path / "libkernels.so"
    compiler(library, FATBIN + "static int seven = 7; int *where = &seven; int f(void) { return *where; }")
    before = library.stat().st_size
    hollow(library)
    assert library.stat().st_size < before - (1 << 20) + 8192
    assert loaded(library, "f") == "7"


def test_stubs_stand_in_for_the_libraries_that_torch_is_linked_with(compiler, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts" / "images" / "inside")
    import cuda_stubs

    lib = tmp_path / "torch" / "lib"
    lib.mkdir(parents=True)
    real = tmp_path / "libcudart.so.13"
    script = tmp_path / "versions"
    script.write_text("libcudart.so.13 { global: cudaGetDeviceCount; };")
    compiler(real, "int cudaGetDeviceCount(void) { return 0; }", f"-Wl,--version-script={script}")
    code = FATBIN + "int cudaGetDeviceCount(void);\nint devices(void) { return cudaGetDeviceCount(); }"
    compiler(lib / "libtorch_cuda.so", code, real, "-Wl,-rpath,$ORIGIN")
    real.unlink()
    cuda_stubs.main(tmp_path)
    assert (lib / "libcudart.so.13").exists()
    assert loaded(lib / "libtorch_cuda.so", "devices") == "100"
