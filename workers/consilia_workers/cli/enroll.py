"""`consilia enroll`: how a hospital with a cluster of its own comes to a hub. Keys stay where they are made."""

import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated, Any

import typer
from cryptography import x509
from rich.console import Console

from consilia import __version__
from consilia.certificates import new_key, request_certificate
from consilia.enrolment.keeping import (
    BUNDLE_FILE,
    IDENTITY,
    IDENTITY_FILE,
    KEY_FILE,
    LINK,
    NEXT_KEY_FILE,
    files_of,
    identity_files,
    key_pem,
    parse_key,
    require_ours,
    secret,
    with_bundle,
)
from consilia.enrolment.papers import LARGEST, JoinBundle, JoinRequest
from consilia.errors import IdentityError, RunError
from consilia.wire.identity import Identity, PublicKey, digest
from consilia_workers.cli.enroll_words import (
    AsJson,
    Context,
    Fingerprint,
    HubNamespace,
    Namespace,
    Output,
    Yes,
    joined,
    tell,
)
from consilia_workers.cli.kubectl import Kubectl
from consilia_workers.cli.parting import expel, leave

_WAITING = frozenset({"KafkaStarting", "KafkaUnavailable", "KafkaPending", "CertificatesPending", "NotAccepted"})
"""Reasons that go away by themselves."""
_PAUSE = 1.0


def request(
    namespace: Namespace,
    display_name: Annotated[str | None, typer.Option(help="The name that people know the hospital by.")] = None,
    context: Context = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Ask to be admitted to a hub: run it at the hospital, and send the file to whoever runs the hub.

    Makes the hospital's keys in its namespace, unless they are there; they never leave it. The request holds no secret.
    """
    kubectl = Kubectl(namespace, context)
    identity = _identity(kubectl)
    key = _key(kubectl)
    cluster = kubectl.cluster()
    made = JoinRequest(
        hospital=namespace,
        display_name=display_name,
        public_key=identity.public().text(),
        certificate_request=request_certificate(key, namespace).decode(),
        cluster=digest(sha256(cluster.encode()).digest()) if cluster else None,
        version=__version__,
    ).signed_by(identity)
    _write(made.text(), output)
    lines = [
        f"{namespace} asks to be admitted. Its key has the fingerprint",
        f"    {identity.public().fingerprint()}",
        "Send the request to whoever runs the hub, and read the fingerprint to them over the telephone.",
        f"They run: consilia enroll admit {output or 'REQUEST.json'} --namespace HUB",
    ]
    tell(lines, {"hospital": namespace, "fingerprint": identity.public().fingerprint()}, as_json and output is not None)


def _identity(kubectl: Kubectl) -> Identity:
    found = kubectl.get("secret", IDENTITY)
    if found is None:
        identity = Identity.generate(kubectl.namespace)
        kubectl.create(secret(kubectl.namespace, IDENTITY, identity_files(identity), immutable=True))
        return identity
    return _own_identity(kubectl.namespace, found)


def _own_identity(namespace: str, found: dict[str, Any]) -> Identity:
    where = f"{IDENTITY_FILE} in Secret {namespace}/{IDENTITY}"
    if not (pem := files_of(found).get(IDENTITY_FILE)):
        raise IdentityError(f"there is no {where}.", remedy="Restore it from a backup.")
    return Identity.parse(namespace, pem, where)


def _key(kubectl: Kubectl) -> Any:  # noqa: ANN401 (one of cryptography's)
    """The key that a certificate is asked for: a hospital that is a member already asks for its next one."""
    there = kubectl.get("secret", LINK)
    files = files_of(there)
    name = NEXT_KEY_FILE if BUNDLE_FILE in files else KEY_FILE
    if pem := files.get(name):
        return parse_key(pem, f"{name} in Secret {kubectl.namespace}/{LINK}")
    key = new_key()
    made = secret(kubectl.namespace, LINK, files | {name: key_pem(key)})
    if there:
        made["metadata"] = there["metadata"]
    (kubectl.replace if there else kubectl.create)(made)
    return key


def admit(  # noqa: PLR0913, PLR0917 (typer makes an option of every argument)
    file: Annotated[Path, typer.Argument(help="The hospital's request.")],
    namespace: HubNamespace,
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="NAME=VALUE, by which jobs select the hospital; repeatable.")
    ] = None,
    fingerprint: Fingerprint = None,
    yes: Yes = False,
    timeout: Annotated[int, typer.Option(min=1, help="How long to wait for the hub's operator, in seconds.")] = 300,
    context: Context = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Admit a hospital: run it at the hub, and send the hospital the bundle that it writes.

    Its rights on the log are applied by then. The bundle holds no secret.
    """
    asked = JoinRequest.read(_text(file))
    key = PublicKey.from_text(asked.public_key)
    _confirm(
        f"{asked.display_name or asked.hospital} asks to be admitted as {asked.hospital}", key, fingerprint, yes=yes
    )
    kubectl = Kubectl(namespace, context)
    _hospital(kubectl, asked, _labels(labels or []))
    bundle = _await_bundle(kubectl, asked, timeout)
    _write(bundle.text(), output)
    own = PublicKey.from_text(bundle.hub_key).fingerprint()
    lines = [
        f"{asked.hospital} is admitted. This hub's key has the fingerprint",
        f"    {own}",
        "Send the bundle to the hospital, and read the fingerprint to them over the telephone.",
        f"They run: consilia enroll accept {output or 'BUNDLE.json'} --namespace {asked.hospital}",
    ]
    tell(lines, {"hospital": asked.hospital, "hub": bundle.hub, "fingerprint": own}, as_json and output is not None)


def _labels(given: list[str]) -> dict[str, str]:
    found = dict(each.partition("=")[::2] for each in given)
    if wrong := [each for each in given if "=" not in each]:
        raise RunError(f"{wrong[0]!r} is no label.", remedy="Write NAME=VALUE.")
    return found


def _hospital(kubectl: Kubectl, asked: JoinRequest, labels: dict[str, str]) -> None:
    """Its Hospital, as it asks; one that is there must be the same hospital."""
    spec = {
        "accepted": True,
        "cluster": "Own",
        "publicKey": asked.public_key,
        "certificateRequest": asked.certificate_request,
    }
    spec |= {"displayName": asked.display_name} if asked.display_name else {}
    spec |= {"clusterDigest": asked.cluster} if asked.cluster else {}
    there = kubectl.get("hospital", asked.hospital)
    if there is None:
        metadata = {"name": asked.hospital, "namespace": kubectl.namespace, "labels": labels}
        kubectl.create({"apiVersion": "consilia.dev/v1alpha1", "kind": "Hospital", "metadata": metadata, "spec": spec})
        return
    if (there["spec"].get("publicKey") or "").strip() != asked.public_key.strip():
        message = f"there is a Hospital {kubectl.namespace}/{asked.hospital} already, with another key."
        raise RunError(
            message, remedy="Is it another hospital? Then this one needs another name; else delete that one."
        )
    there["metadata"].setdefault("labels", {}).update(labels)
    kubectl.replace(there | {"spec": there["spec"] | spec})


def _await_bundle(kubectl: Kubectl, asked: JoinRequest, timeout: int) -> JoinBundle:
    """Until the hub's operator has it ready for the very key that is asked for."""
    deadline = monotonic() + timeout
    with Console(stderr=True).status("Waiting for the hub's operator") as status:
        while True:
            found = kubectl.get("configmap", f"{asked.hospital}-join-bundle")
            bundle = JoinBundle.read(found["data"][BUNDLE_FILE]) if found else None
            if bundle and _is_for(bundle, asked):
                return bundle
            reason, message = joined(kubectl.get("hospital", asked.hospital))
            if reason and reason not in _WAITING | {"BundleReady", "Reported"}:
                raise RunError(f"{asked.hospital} cannot be admitted: {message}", remedy="Correct that, and try again.")
            if monotonic() > deadline:
                waiting = message or "its operator has not looked at the Hospital yet."
                raise RunError(f"the hub was not ready after {timeout} s: {waiting}", remedy="Is its operator up?")
            status.update(f"Waiting for the hub's operator: {message}" if message else "Waiting for the hub's operator")
            sleep(_PAUSE)


def _is_for(bundle: JoinBundle, asked: JoinRequest) -> bool:
    """Whether its certificate is for the key of the request."""
    certificate = x509.load_pem_x509_certificate(bundle.certificate.encode())
    wanted = x509.load_pem_x509_csr(asked.certificate_request.encode())
    return certificate.public_key() == wanted.public_key()


def accept(
    file: Annotated[Path, typer.Argument(help="The bundle that the hub has sent.")],
    namespace: Namespace,
    fingerprint: Fingerprint = None,
    yes: Yes = False,
    context: Context = None,
    as_json: AsJson = False,
) -> None:
    """Accept the hub's bundle: run it at the hospital. From then on its operator follows that hub, and no other."""
    bundle = JoinBundle.read(_text(file))
    key = PublicKey.from_text(bundle.hub_key)
    kubectl = Kubectl(namespace, context)
    found, there = kubectl.get("secret", IDENTITY), kubectl.get("secret", LINK)
    if found is None or there is None:
        message = f"namespace {namespace} has not asked to be admitted to a hub."
        raise RunError(message, remedy=f"Run: consilia enroll request --namespace {namespace}.")
    require_ours(bundle, _own_identity(namespace, found))
    files = with_bundle(files_of(there), bundle)
    where = ", ".join(bundle.bootstrap_servers)
    _confirm(f"The hub {bundle.hub} hands out its log at {where}", key, fingerprint, yes=yes)
    kubectl.replace(secret(namespace, LINK, files) | {"metadata": there["metadata"]})
    lines = [
        f"{namespace} follows the hub {bundle.hub} at {where}, as soon as its operator runs:",
        f"    helm install consilia-hospital charts/consilia-hospital --namespace {namespace}",
    ]
    tell(lines, {"hospital": namespace, "hub": bundle.hub, "log": list(bundle.bootstrap_servers)}, as_json)


def _text(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST + 1)
    except OSError as error:
        raise RunError(f"cannot read {file}: {error.strerror}.", remedy="Name the right file.") from None


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror}.", remedy="Name another file.") from None


def _confirm(what: str, key: PublicKey, fingerprint: str | None, *, yes: bool) -> None:
    """See that the key is the one that the other side has read out."""
    shown = key.fingerprint()
    if fingerprint is not None:
        if "".join(fingerprint.split()).lower() != "".join(shown.split()):
            message = f"the key in the file has the fingerprint {shown}, not {fingerprint}."
            raise IdentityError(message, remedy="Somebody may have exchanged the file: have it sent again.")
        return
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"{what}. The key has the fingerprint\n    {shown}")
    if not yes:
        typer.confirm("Is that what the other side reads out?", abort=True, err=True)


_COMMANDS: tuple[Callable[..., None], ...] = (request, admit, accept, expel, leave)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Join a hub from a cluster of one's own: request, admit, accept. Part from it: expel, leave.",
        no_args_is_help=True,
    )
    for command in _COMMANDS:
        group.command()(command)
    app.add_typer(group, name="enroll")
