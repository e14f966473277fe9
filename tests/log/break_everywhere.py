"""Break a transaction at every single line of consilia/log, one after the other, and look at what is left.

    break_everywhere.py kill|interrupt FOLDER

`kill` ends the process there with SIGKILL, `interrupt` raises KeyboardInterrupt there, as Ctrl-C does. Prints at how
many lines it broke. A script of its own, because it forks and must not inherit threads.
"""

import os
import signal
import sqlite3
import sys
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

from consilia.log import sqlite
from consilia.log.interface import CHUNK_BYTES, follow
from consilia.log.opening import open_log, sqlite_url

CODE = str(Path(sqlite.__file__).parent)
WHOLE = [("log", 5), ("log", CHUNK_BYTES), ("log", 1), ("log", 200_000), ("model", 200_000)]


def main(how, folder):
    """Break one line later every time until the transaction comes through."""
    directory, payload = Path(folder) / "log", Path(folder) / "payload"
    payload.write_bytes(bytes(CHUNK_BYTES + 1))
    with closing(open_log(sqlite_url(directory))) as log:
        log.create_topic("model", compacted=True)
    done = 0
    for line in count(1):
        finished = in_child(lambda line=line, done=done: attempt(how, line, directory, payload, done))
        done = check(directory, done, finished)
        if finished:
            print(line - 1)
            return


def in_child(action):
    """Whether the action came to its end in a forked process."""
    child = os.fork()
    if not child:
        with suppress(KeyboardInterrupt):
            action()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    return status == 0


def attempt(how, line, directory, payload, number):
    """Write transaction `number`, broken at the given line."""
    break_at(line, how)
    with closing(open_log(sqlite_url(directory))) as log:
        producer, headers = log.producer("writer"), {"number": str(number)}
        with producer.transaction() as transaction:
            transaction.append("log", b"small", headers=headers)
            transaction.append_file("log", payload, headers=headers)
            transaction.append("log", bytes(200_000), headers=headers)
            transaction.append("model", bytes(200_000), key="model", headers=headers)
            transaction.commit_offset("group", "log", number + 1)
            transaction.trim("log", log.end_offset("log"))
    sys.settrace(None)


def break_at(line, how):
    """Count the lines of consilia/log that run; at this one, kill the process or raise KeyboardInterrupt."""
    lines = count(1)

    def trace(frame, event, argument):
        if not frame.f_code.co_filename.startswith(CODE):
            return None
        if event == "line" and next(lines) == line:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)


def check(directory, done, finished):
    """The log opens, holds the last transaction wholly, and no file too many or too few; how many are done by now."""
    with closing(open_log(sqlite_url(directory))) as log:
        now = log.committed("group", "log") or 0
        assert now in {done, done + 1}
        assert now == done + 1 or not finished
        found = [
            (record.headers["number"], topic, len(record.value))
            for topic in ("log", "model")
            for record in follow(log, topic, 0)
        ]
        assert found == [(str(now - 1), *part) for part in WHOLE if now]
        assert files(directory) == referenced(directory)
        return now


def files(directory):
    segments = directory / "segments"
    return sorted(str(path.relative_to(segments)) for path in segments.glob("*/*"))


def referenced(directory):
    with closing(sqlite3.connect(directory / "log.db")) as database:
        return [name for (name,) in database.execute("SELECT name FROM segment ORDER BY name")]


if __name__ == "__main__":
    main(*sys.argv[1:])
