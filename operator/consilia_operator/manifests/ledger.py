"""A hospital's ledger: one for its namespace, whatever comes and goes there. Nothing owns it, and it owns nothing."""

from typing import Any, Final

from consilia.enrolment.keeping import IDENTITY_FILE
from consilia.ledger.requests import LEDGER_PORT
from consilia_operator.kinds import CONFIG_MAP, DEPLOYMENT, NETWORK_POLICY, PVC, SERVICE, Kind
from consilia_operator.manifests import network, pod
from consilia_operator.manifests.aggregator import digest_of
from consilia_operator.names import COMPONENT, FIELD_MANAGER, HOSPITAL, IDENTITY, LEDGER, MANAGED_BY, SETTINGS, labels
from consilia_operator.settings import OperatorSettings

Document = dict[str, Any]

COMPONENT_NAME: Final = "ledger"
ASKERS = ("trainer", "inspection")
"""The components whose pods may ask it."""
_FOLDER = f"{pod.STATE}/ledger"
_CHOSEN = {MANAGED_BY: FIELD_MANAGER, COMPONENT: COMPONENT_NAME}


def url_of(namespace: str) -> str:
    """Where the ledger of a namespace answers."""
    return f"http://{LEDGER}.{namespace}.svc:{LEDGER_PORT}"


def egress() -> Document:
    """The rule that lets a pod of the same namespace through to it."""
    return {
        "to": [{"podSelector": {"matchLabels": _CHOSEN}}],
        "ports": [{"protocol": "TCP", "port": LEDGER_PORT}],
    }


def claim(namespace: str, settings: OperatorSettings) -> Document:
    """What the ledger lies on: made once, without an owner, never changed and never deleted by us."""
    return _named(PVC, namespace) | {"spec": pod.claim_spec(settings.storage.ledger, settings)}


def documents(
    namespace: str, settings: OperatorSettings, operator_namespace: str, *, resting: bool = False
) -> list[Document]:
    """All that runs it, but its claim. While it rests, no pod does."""
    configuration = _configuration(namespace)
    return [
        configuration,
        _service(namespace),
        *([_policy(namespace, settings, operator_namespace)] if settings.network_policies else []),
        _deployment(namespace, settings, digest_of(configuration["data"]), resting),
    ]


def _configuration(namespace: str) -> Document:
    settings = {
        "folder": _FOLDER,
        "key": f"{pod.IDENTITY_FOLDER}/{IDENTITY_FILE}",
        "hospital": namespace,
        "port": LEDGER_PORT,
    }
    return _named(CONFIG_MAP, namespace) | {"data": pod.settings_data(settings)}


def _service(namespace: str) -> Document:
    port = {"name": pod.STATUS, "port": LEDGER_PORT, "targetPort": pod.STATUS, "protocol": "TCP"}
    return _named(SERVICE, namespace) | {"spec": {"selector": dict(_CHOSEN), "ports": [port]}}


def _policy(namespace: str, settings: OperatorSettings, operator_namespace: str) -> Document:
    listeners = network.Listeners(
        operator_namespace=operator_namespace, monitoring=settings.monitoring.namespace_labels, port=LEDGER_PORT
    )
    ours = [{"podSelector": {"matchLabels": {MANAGED_BY: FIELD_MANAGER, COMPONENT: each}}} for each in ASKERS]
    asked = {"from": ours, "ports": [{"protocol": "TCP", "port": LEDGER_PORT}]}
    metadata = _named(NETWORK_POLICY, namespace)["metadata"]
    return network.policy(metadata, _CHOSEN, ingress=[asked, listeners.ingress()], egress=[])


def _deployment(namespace: str, settings: OperatorSettings, digest: str, resting: bool) -> Document:
    program = pod.Program(
        name=COMPONENT_NAME,
        image=settings.images.worker,
        arguments=("ledger", pod.SETTINGS_FILE),
        resources=settings.sizes.ledger,
        mounts=(
            pod.config("config", pod.CONFIG, LEDGER),
            pod.secret("identity", pod.IDENTITY_FOLDER, IDENTITY),
            pod.claim("ledger", pod.STATE, LEDGER),
            pod.scratch("tmp", "/tmp"),  # noqa: S108 (an emptyDir of this pod's own)
        ),
        port=LEDGER_PORT,
    )
    return _named(DEPLOYMENT, namespace) | {
        "spec": {
            "replicas": 0 if resting else 1,
            # One process has the volume; it may be away for a while, for whoever asks waits.
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": dict(_CHOSEN)},
            "template": {
                "metadata": {"labels": _labels(namespace), "annotations": {SETTINGS: digest}},
                "spec": pod.spec(program, settings, restart="Always") | {"terminationGracePeriodSeconds": 10},
            },
        }
    }


def _labels(namespace: str) -> dict[str, str]:
    return labels(COMPONENT_NAME) | {HOSPITAL: namespace}


def _named(kind: Kind, namespace: str) -> Document:
    metadata = {"name": LEDGER, "namespace": namespace, "labels": _labels(namespace)}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
