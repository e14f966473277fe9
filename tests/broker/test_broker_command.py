"""`python -m consilia.broker`, where it runs no broker; tests/broker/test_broker.py runs it with one."""

import subprocess
import sys
from pathlib import Path

import pytest

from consilia.broker.__main__ import main, show

ROOT = Path(__file__).parents[2]


def test_the_jars_alone_are_put_where_a_container_image_wants_them(kafka_runtime, tmp_path, capsys):
    for path in kafka_runtime.jars:
        (tmp_path / path.name).symlink_to(path)
    assert main(["--jars-only", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"46 jars in {tmp_path}\n"


@pytest.mark.parametrize("port", ["0", "80", "65534", "-1", "http", "9092.5"])
def test_a_port_that_leaves_no_room_for_the_others_is_refused(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--port", port])
    assert "--port" in capsys.readouterr().err


def test_what_keeps_a_broker_from_starting_is_said_in_one_message(kafka_runtime, tmp_path):
    command = [sys.executable, "-m", "consilia.broker", "--heap", "plenty", "--folder", tmp_path]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Invalid maximum heap size" in done.stderr
    assert "Traceback" not in done.stderr


def test_progress_is_for_terminals_only(capsys, monkeypatch):
    show(1, 4)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show(1, 4)
    show(4, 4)
    assert capsys.readouterr().err == "\rKafka's jars: 25 %\rKafka's jars: 100 %\n"
