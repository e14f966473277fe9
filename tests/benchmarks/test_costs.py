"""What processes cost: nothing is lost when they die."""

import os
import subprocess
import sys
import tempfile

import psutil
import pytest

from benchmarks.costs import Disk, Moment, Peaks, cpu_seconds, grown_mib, held, other_cores

BURN = "import time\nwhile time.process_time() < 0.3: pass"
"""0.3 CPU seconds, however busy the machine is."""


def test_cpu_of_children_and_grandchildren_counts_though_they_are_dead():
    before = cpu_seconds(psutil.Process())
    grandparent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"
    subprocess.run([sys.executable, "-c", grandparent], check=True)
    assert cpu_seconds(psutil.Process()) - before >= 0.3


def test_cpu_of_a_living_child_counts():
    program = f"{BURN}\nprint('burnt', flush=True)\ninput()"
    before = cpu_seconds(psutil.Process())
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1) as child:
        assert child.stdout.readline() == b"burnt\n"
        living = cpu_seconds(psutil.Process()) - before
        child.stdin.close()
    assert living >= 0.28  # the kernel tells in hundredths


def test_what_others_use_is_the_machines_less_ours_and_never_negative():
    first = Moment(time=10.0, cpu=1.0, machine=100.0)
    assert other_cores(first, Moment(time=12.0, cpu=2.0, machine=104.0)) == pytest.approx(1.5)
    assert other_cores(first, Moment(time=12.0, cpu=9.0, machine=104.0)) == 0.0


def test_a_peak_is_kept_when_its_process_is_gone():
    peaks = Peaks()
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as child:
        child.stdout.readline()
        peaks.note({"hospital": child.pid})
        child.stdin.write(b"\n")
    seen = peaks.mib["hospital"]
    peaks.note({"hospital": child.pid})
    assert peaks.mib == {"hospital": seen}
    assert seen > 1


def test_the_brokers_cpu_is_told_apart():
    broker = f"{BURN}\nprint('burnt', flush=True)\ninput()"
    root = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {broker!r}])"
    with subprocess.Popen([sys.executable, "-c", root], stdin=-1, stdout=-1) as child:
        assert child.stdout.readline() == b"burnt\n"
        process = psutil.Process(child.pid)  # not this one, whose other tests may have left a cluster at work below it
        together, apart = Moment.now(process), Moment.now(process, process.children()[0])
        child.stdin.close()
    assert apart.broker >= 0.28
    assert together.cpu - apart.cpu >= 0.28


def test_a_file_with_two_names_occupies_the_disk_once(tmp_path):
    (tmp_path / "update").write_bytes(os.urandom(3 << 20))
    single = grown_mib({}, held(tmp_path))
    (tmp_path / "again").hardlink_to(tmp_path / "update")
    assert grown_mib({}, held(tmp_path)) == single >= 3


def test_the_disks_peak_outlives_what_caused_it(tmp_path):
    disk = Disk(tmp_path)
    (tmp_path / "update").write_bytes(os.urandom(3 << 20))
    disk.look()
    (tmp_path / "update").unlink()
    disk.look()
    assert disk.peak_mib >= 3


def test_what_an_earlier_run_left_does_not_count_and_makes_no_room_when_it_goes(tmp_path):
    (tmp_path / "old").write_bytes(os.urandom(3 << 20))
    disk = Disk(tmp_path)
    disk.look()
    assert disk.peak_mib == 0
    (tmp_path / "new").write_bytes(os.urandom(2 << 20))
    (tmp_path / "old").unlink()
    disk.look()
    assert 2 <= disk.peak_mib < 2.1


def test_files_without_a_name_count_with_the_process_that_has_them(tmp_path):
    before = held(tmp_path, [os.getpid()])
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        file.write(os.urandom(3 << 20))
        file.flush()
        assert grown_mib(before, held(tmp_path, [os.getpid()])) >= 3
        assert grown_mib(before, held(tmp_path)) == 0
