"""One side of a federation in a process of its own, as one version of Consilia is it.

    party.py hub LOG FOLDER        a hub's operator; its Kubernetes is a dictionary, the log at the URL is real
    party.py hospital LOG FOLDER   a hospital's operator, with a real ledger in FOLDER
    party.py programs MODULE       a job's programs, forked from one process that has loaded the module

It is asked by JSON lines on standard input, `{"do": NAME, ...}`, and answers each with one on standard output,
`{"gave": ...}` or `{"failed": TRACEBACK}`. The builds in `builds/` hold this file as it was in their time: what a
command is called, takes and gives stays, or tests cannot ask them any more.
"""

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from time import sleep, time
from typing import get_args

from correspondents import GLANCE, Hospital, Hub

import consilia
from consilia.api import FederatedJob
from consilia.api.schema import resource_schema
from consilia.enrolment.papers import JoinBundle, JoinRequest
from consilia.wire.correspondence import FromHub, Report
from consilia.wire.messages import FromAggregator, FromHospital


def words():
    """By name: the schema of everything that one version writes and another reads, defaults included."""
    models = (JoinRequest, JoinBundle, *get_args(FromHub), Report, *get_args(FromHospital), *get_args(FromAggregator))
    job = resource_schema(FederatedJob)["properties"]["spec"]
    return {"FederatedJob": job} | {each.__name__: each.model_json_schema() for each in models}


class Programs:
    """The programs of jobs, as `consilia run` starts them: forked, so that frameworks are loaded once only."""

    def __init__(self, module):
        importlib.import_module(module)
        self.running = set()

    def prepare(self, folder, job, sites):
        """Settings, keys and roster of a job's programs, as this version writes them."""
        from consilia_workers.local.folder import SeedFolder
        from consilia_workers.local.site import Site

        Path(folder).mkdir(parents=True)
        found = [Site.model_validate(each) for each in sites]
        SeedFolder(Path(folder)).prepare(FederatedJob.model_validate(job), found)

    def start(self, program, settings, output):
        """Its process id."""
        from consilia_workers import programs

        if not (pid := os.fork()):
            code = 1
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                into = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(into, 1)
                os.dup2(into, 2)
                code = programs.guarded(lambda: programs.PROGRAMS[program](Path(settings)))
            finally:  # whatever happens, the child must not go on as a second one of us
                sys.stderr.flush()
                os._exit(code)
        self.running.add(pid)
        return pid

    def wait(self, pid, seconds):
        """Until it ends: its exit code; None if it does not in time."""
        deadline = time() + seconds
        while time() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self.running.remove(pid)
                return os.waitstatus_to_exitcode(status)
            sleep(GLANCE / 10)
        return None

    def end(self, pid):
        """At once."""
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.running.remove(pid)

    def close(self):
        """End all that still run."""
        for pid in sorted(self.running):
            self.end(pid)


def serve(side):
    """Answer until nobody asks any more. What is printed on the way goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print(json.dumps({"gave": [consilia.__version__, consilia.__file__]}), file=answers, flush=True)
    try:
        for line in sys.stdin:
            asked = json.loads(line)
            do = asked.pop("do")
            try:
                answer = {"gave": words() if do == "words" else getattr(side, do)(**asked)}
            except Exception:  # noqa: BLE001 (the one who asked is told)
                answer = {"failed": traceback.format_exc()}
            print(json.dumps(answer), file=answers, flush=True)
    finally:
        side.close()


def main(role, *arguments):
    """Be it."""
    serve({"hub": Hub, "hospital": Hospital, "programs": Programs}[role](*arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
