"""`consilia enroll expel` and `leave`: how a hub and a hospital in another cluster part."""

from time import monotonic, sleep
from typing import Annotated, Any

import typer
from rich.console import Console

from consilia.enrolment.keeping import BUNDLE_FILE, LINK, files_of
from consilia.enrolment.papers import JoinBundle
from consilia.errors import RunError
from consilia_workers.cli.enroll_words import AsJson, Context, HubNamespace, Namespace, joined, tell
from consilia_workers.cli.kubectl import Kubectl
from consilia_workers.report.wording import counted

Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_HUB_LABEL = "consilia.dev/hub"
_PAUSE, _SETTLED = 0.5, 2.0


def expel(
    hospital: Annotated[str, typer.Argument(help="Its name.")],
    namespace: HubNamespace,
    yes: Sure = False,
    timeout: Annotated[int, typer.Option(min=1, help="How long to wait for the hub's operator, in seconds.")] = 120,
    context: Context = None,
    as_json: AsJson = False,
) -> None:
    """Take all rights on the log from a hospital: run it at the hub. It is a member again when it is admitted again.

    Returns when it has none, on connections that are open, too. Running jobs go on without it.
    """
    kubectl = Kubectl(namespace, context)
    there = kubectl.get("hospital", hospital)
    if there is None:
        raise RunError(
            f"there is no Hospital {namespace}/{hospital}.", remedy=f"See: kubectl -n {namespace} get hospitals."
        )
    if not yes:
        typer.confirm(f"Take all rights on the log of {namespace} from {hospital}?", abort=True, err=True)
    generation = kubectl.replace(there | {"spec": there["spec"] | {"accepted": False}})["metadata"]["generation"]
    _await_expulsion(kubectl, hospital, generation, timeout)
    lines = [f"{hospital} can do nothing on the log of {namespace} any more."]
    tell(lines, {"hospital": hospital, "hub": namespace, "expelled": True}, as_json)


def _await_expulsion(kubectl: Kubectl, hospital: str, generation: int, timeout: int) -> None:
    """Until the operator has said so of the Hospital as it is now."""
    deadline = monotonic() + timeout
    with Console(stderr=True).status("Waiting for the hub's operator"):
        while True:
            found = kubectl.get("hospital", hospital)
            if found is None:
                raise RunError(
                    f"Hospital {kubectl.namespace}/{hospital} was deleted meanwhile.", remedy="It is no member."
                )
            reason, message = joined(found)
            if found.get("status", {}).get("observedGeneration", 0) >= generation and reason == "NotAccepted":
                return
            if monotonic() > deadline:
                raise RunError(
                    f"{hospital} may still use the log: the hub's operator was not done after {timeout} s. {message}",
                    remedy="See that the operator and the hub's Kafka run; it goes on by itself.",
                )
            sleep(_PAUSE)


def leave(
    namespace: Namespace,
    yes: Sure = False,
    context: Context = None,
    as_json: AsJson = False,
) -> None:
    """Leave the hub: run it at the hospital. Its jobs end here at once; the hub is not asked.

    What must last stays: the hospital's identity, its ledger, its Datasets.
    """
    kubectl = Kubectl(namespace, context)
    link = kubectl.get("secret", LINK)
    text = files_of(link).get(BUNDLE_FILE)
    if link is None or text is None:
        raise RunError(f"namespace {namespace} follows no hub.", remedy="There is nothing to leave.")
    hub = JoinBundle.read(text).hub
    tasks = kubectl.list("hospitaltasks", f"{_HUB_LABEL}={hub}")
    if not yes:
        question = f"Leave the hub {hub}? {namespace}'s part of {counted(len(tasks), 'job')} ends at once."
        typer.confirm(question, abort=True, err=True)
    kubectl.delete("secret", LINK)
    _end(kubectl, hub)
    lines = [
        f"{namespace} follows the hub {hub} no more, and takes no part in its jobs.",
        "What was promised to them and not spent goes back to the budgets.",
    ]
    tell(lines, {"hospital": namespace, "hub": hub, "ended": [_name(each) for each in tasks]}, as_json)


def _end(kubectl: Kubectl, hub: str) -> None:
    """All its tasks go, also one that the operator was about to make when the link went."""
    for pause in (_SETTLED, 0.0):
        while tasks := kubectl.list("hospitaltasks", f"{_HUB_LABEL}={hub}"):
            kubectl.delete("hospitaltask", *map(_name, tasks))
        sleep(pause)


def _name(document: dict[str, Any]) -> str:
    return str(document["metadata"]["name"])
