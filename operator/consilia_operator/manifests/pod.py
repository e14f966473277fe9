"""What all pods that run our programs have in common: no rights, no token, a root that cannot be written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from consilia.api import DatasetSource
from consilia.progress import STATUS_PORT
from consilia_operator.settings import OperatorSettings, Resources

Document = dict[str, Any]

USER = 10001
"""Whom our images run as."""
CONFIG, IDENTITY_FOLDER, LOG_FOLDER, WORK, STATE, DATA = (
    "/etc/consilia", "/run/consilia/identity", "/run/consilia/log", "/work", "/state", "/data",
)  # fmt: skip
SETTINGS_FILE = f"{CONFIG}/settings.json"
STATUS = "status"
"""The name of the port."""
_GROUP_MAY_READ = 0o440
EXIT_FAILED, EXIT_EXHAUSTED = 1, 77
"""How a program ends that must not be started again; see consilia_workers.programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A volume and where it is seen."""

    name: str
    path: str
    source: Mapping[str, Any]
    read_only: bool = True
    sub_path: str = ""

    def volume(self) -> Document:
        """For spec.volumes."""
        return {"name": self.name, **self.source}

    def mount(self) -> Document:
        """For volumeMounts."""
        found: Document = {"name": self.name, "mountPath": self.path}
        return (
            found
            | ({"readOnly": True} if self.read_only else {})
            | ({"subPath": self.sub_path} if self.sub_path else {})
        )


def config(name: str, path: str, *config_maps: str) -> Mount:
    """The files of some ConfigMaps in one folder."""
    sources = [{"configMap": {"name": each}} for each in config_maps]
    return Mount(name=name, path=path, source={"projected": {"sources": sources}})


def secret(name: str, path: str, secret_name: str) -> Mount:
    """A Secret's files; the program may read them, nobody else in the container."""
    return Mount(name=name, path=path, source={"secret": {"secretName": secret_name, "defaultMode": _GROUP_MAY_READ}})


def scratch(name: str, path: str) -> Mount:
    """A folder that goes with the pod."""
    return Mount(name=name, path=path, source={"emptyDir": {}}, read_only=False)


def claim(name: str, path: str, claim_name: str, *, read_only: bool = False, sub_path: str = "") -> Mount:
    """What lies on a PersistentVolumeClaim."""
    source = {"persistentVolumeClaim": {"claimName": claim_name} | ({"readOnly": True} if read_only else {})}
    return Mount(name=name, path=path, source=source, read_only=read_only, sub_path=sub_path)


def claim_spec(size: str, settings: OperatorSettings) -> Document:
    """Of a PersistentVolumeClaim that one pod writes to; its size cannot be changed later."""
    spec: Document = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    if settings.storage.storage_class is not None:
        spec["storageClassName"] = settings.storage.storage_class
    return spec


def settings_data(settings: Document) -> Document:
    """Of the ConfigMap that a program is started with."""
    return {"settings.json": json.dumps(settings, indent=1, sort_keys=True)}


def job_spec(name: str, template: Document, *, backoff_limit: int, final: Sequence[int] = (EXIT_FAILED,)) -> Document:
    """Of a batch/v1 Job. Evictions are free, `final` exit codes end it at once, all else is tried again (KEP-3329)."""
    on_exit = {"containerName": name, "operator": "In", "values": list(final)}
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": on_exit},
    ]
    return {
        "backoffLimit": backoff_limit,
        "podFailurePolicy": {"rules": rules},
        # Another pod only when the first is truly gone: two trainers would fence each other off the log.
        "podReplacementPolicy": "Failed",
        "template": template,
    }


def data(source: DatasetSource) -> Mount | None:
    """A Dataset's data, read-only; a file keeps its name, which tasks may go by. None: the task brings it."""
    if held := source.persistent_volume_claim:
        path = f"{DATA}/{PurePosixPath(held.sub_path).name}" if held.sub_path else DATA
        return claim("data", path, held.claim_name, read_only=True, sub_path=held.sub_path or "")
    if host := source.host_path:
        path = f"{DATA}/{PurePosixPath(host.path).name}".rstrip("/")
        return Mount(name="data", path=path, source={"hostPath": {"path": host.path}})
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One of our programs in a container."""

    name: str
    image: str
    arguments: tuple[str, ...]
    resources: Resources
    mounts: tuple[Mount, ...]
    probed: bool = True
    """Whether a process that does not answer is started anew."""
    port: int | None = STATUS_PORT
    """Where it serves /metrics and /healthz; None: nowhere."""


def spec(program: Program, settings: OperatorSettings, *, restart: str) -> Document:
    """The pod's spec, within Kubernetes' restricted Pod Security Standard."""
    images = settings.images
    found: Document = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": restart,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(program, images.pull_policy)],
        "volumes": [mount.volume() for mount in program.mounts],
    }
    if images.pull_secrets:
        found["imagePullSecrets"] = [{"name": name} for name in images.pull_secrets]
    return found


def _container(program: Program, pull_policy: str) -> Document:
    return {
        "name": program.name,
        "image": program.image,
        "imagePullPolicy": pull_policy,
        "args": list(program.arguments),
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 (an emptyDir of this pod's own)
        "ports": [{"name": STATUS, "containerPort": program.port, "protocol": "TCP"}] if program.port else [],
        "resources": dict(program.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # Its last words stand in the pod's status, for whoever may not read logs.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **_probes(program),
        "volumeMounts": [mount.mount() for mount in program.mounts],
    }


def _probes(program: Program) -> Document:
    """None, where a task's own code may keep the process from answering for as long as a round takes."""
    if not program.probed:
        return {}
    alive = {"httpGet": {"path": "/healthz", "port": STATUS}}
    return {
        "startupProbe": alive | {"periodSeconds": 2, "failureThreshold": 150},
        "livenessProbe": alive | {"periodSeconds": 20, "timeoutSeconds": 5, "failureThreshold": 6},
    }
