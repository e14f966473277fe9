"""`helm test` in a hospital's own cluster: whether it can take part, and whether nothing else gets out."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from consilia.certificates import write_private
from consilia.enrolment.keeping import BUNDLE_FILE, IDENTITY, IDENTITY_FILE, LINK, files_of
from consilia.errors import ConsiliaError
from consilia.kafka.diagnosis import diagnose
from consilia.kafka.settings import KafkaSettings
from consilia.wire.correspondence import SKEW_SECONDS
from consilia.wire.identity import Identity
from consilia_operator import gpu_selftest
from consilia_operator.conditions import condition
from consilia_operator.correspondence.link import Link, by_way_of, read
from consilia_operator.isolation import lets_out, way_out
from consilia_operator.selftest import DATE, Ask
from consilia_operator.settings import OperatorSettings
from consilia_operator.transport.interface import KAFKA_JSON

_SECONDS = 10.0
_API = "/apis/consilia.dev/v1alpha1"


def problems(namespace: str, settings: Path, ask: Ask) -> Iterator[str]:
    """Everything that keeps the hospital from taking part, or does not keep to what its owner was promised."""
    told = OperatorSettings.load(settings)
    yield from _wrong_clock(ask)
    yield from _unusable(namespace, ask)
    yield from _without_gpus(namespace, told, ask)
    try:
        link = _link(namespace, told, ask)
    except (ConsiliaError, OSError) as error:
        yield str(error)
        return
    yield from _unreachable(link)
    yield from _let_out(link, told)


def _wrong_clock(ask: Ask) -> Iterator[str]:
    server = parsedate_to_datetime(ask("/version", None)[DATE])
    apart = abs((datetime.now(UTC) - server).total_seconds())
    if apart > SKEW_SECONDS / 2:
        yield (
            f"the clocks of this node and of the API server are {apart:.0f} s apart. Have them set by NTP: the hub's "
            f"letters are not believed when clocks are {SKEW_SECONDS:.0f} s apart."
        )


def _unusable(namespace: str, ask: Ask) -> Iterator[str]:
    """Data sets that cannot be read, or whose ledger does not verify, as the operator found."""
    found = ask(f"{_API}/namespaces/{namespace}/datasets", None)["items"]
    for each in found:
        yield from _wrong_with(each)


def _wrong_with(dataset: dict[str, Any]) -> Iterator[str]:
    name, conditions = dataset["metadata"]["name"], dataset.get("status", {}).get("conditions", ())
    for kind, wanted in (("Ready", "True"), ("Tampered", "False")):
        found = condition(conditions, kind)
        if found and found["status"] != wanted:
            yield f"Dataset {name}: {kind} is {found['status']}. {found['message']}"
        if found is None and kind == "Ready":
            yield f"Dataset {name} was not looked at yet. See whether the operator runs."


def _link(namespace: str, told: OperatorSettings, ask: Ask) -> Link:
    """Raises: ConsiliaError, OSError: it has joined no hub, or what it was handed is damaged."""
    files = files_of(_secret(namespace, LINK, ask))
    if BUNDLE_FILE not in files:
        where = f"consilia enroll request --namespace {namespace}"
        raise ConsiliaError("the hospital has joined no hub.", remedy=f"Join one: {where}.")
    pem = files_of(_secret(namespace, IDENTITY, ask)).get(IDENTITY_FILE, b"")
    own = Identity.parse(namespace, pem, f"Secret {namespace}/{IDENTITY}")
    password = b""
    if told.proxy.url and told.proxy.username:
        password = files_of(_secret(namespace, told.proxy.secret, ask)).get("password", b"")
    return by_way_of(read(files, own), told.proxy, password)


def _secret(namespace: str, name: str, ask: Ask) -> dict[str, Any]:
    try:
        return ask(f"/api/v1/namespaces/{namespace}/secrets/{name}", None)
    except OSError as error:
        if getattr(error, "code", None) == 404:
            return {}
        raise


def _unreachable(link: Link) -> Iterator[str]:
    """By the hospital's own credentials, from a pod that may reach what its programs may."""
    with TemporaryDirectory() as name:
        for file, content in link.log.items():
            write_private(Path(name) / file, content)
        if error := diagnose(KafkaSettings.load(Path(name) / KAFKA_JSON), _SECONDS):
            yield f"the hub's log cannot be used: {error}"


def _let_out(link: Link, told: OperatorSettings) -> Iterator[str]:
    if told.isolation == "Required" and lets_out(way_out(link.log)):
        yield (
            "this cluster does not enforce NetworkPolicies: its pods reach what no policy allows. Install a CNI plugin "
            "that does. Until then jobs without differential privacy are not let in, unless operator.isolation=Ignored."
        )


def _without_gpus(namespace: str, told: OperatorSettings, ask: Ask) -> Iterator[str]:
    """Only where the hospital says that it has some. What is seen is told in any case."""
    if not told.gpu_test.gpus:
        return
    looked = gpu_selftest.look(namespace, told, ask)
    if looked.well:
        print(looked.said)  # noqa: T201
    else:
        yield looked.said
