"""Sees that a managed Kafka has its certificates, and has them in time: by an authority of its own, or cert-manager."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Literal

from consilia_operator.kinds import CERTIFICATE, SECRET
from consilia_operator.names import labels
from consilia_operator.settings import OperatorSettings
from consilia_operator.transport import leaves
from consilia_operator.transport.authorities import BUNDLE, Authorities, parse_bundle, united
from consilia_operator.transport.conditions import condition_message
from consilia_operator.transport.interface import Cluster, Document, NotReady
from consilia_operator.transport.leaves import Leaf
from consilia_operator.transport.managed_objects import COMPONENT_NAME, secret
from consilia_operator.transport.managed_plan import (
    AUTHORITY_SECRET,
    BROKERS_SECRET,
    MEMBERS_SECRET,
    OPERATOR_SECRET,
    Plan,
)
from consilia_operator.transport.secrets import decoded

_Issuer = Mapping[Literal["name", "kind", "group"], str]
_TLS = "kubernetes.io/tls"
_SOON, _LATER = 2.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What is believed, and the certificates with their keys, as in their Secrets."""

    trust: bytes
    brokers: Mapping[str, bytes] = field(repr=False)
    operator: Mapping[str, bytes] = field(repr=False)
    members: Authorities | None = field(default=None, repr=False)
    """Who signs hospitals' certificates; None where none come from outside."""


class Certificates:
    """Of all namespaces."""

    def __init__(self, cluster: Cluster, settings: OperatorSettings, now: Callable[[], datetime]) -> None:
        """`now` tells the time, with its zone."""
        self._cluster, self._now = cluster, now
        self._domain, self._settings = settings.cluster_domain, settings.certificates

    async def ensure(self, plan: Plan) -> Keys | NotReady:
        """As they should be now. Called again and again; what is well is left as it is.

        Raises:
            IdentityError: what a Secret holds is damaged.
        """
        members = await self.members(plan.namespace) if plan.members else None
        if self._settings.issuing == "CertManager":
            found = await self._by_cert_manager(plan)
            return found if isinstance(found, NotReady) else replace(found, members=members)
        authorities = await self._authorities(plan.namespace, AUTHORITY_SECRET)
        files = {}
        for name, leaf in _leaves(plan).items():
            files[name] = decoded(await self._cluster.get(SECRET, plan.namespace, name))
            early = timedelta(days=self._settings.renew_days)
            if leaf.is_due(files[name], authorities.signer, self._now(), early):
                lasts = timedelta(days=self._settings.lasts_days)
                files[name] = leaf.issue(authorities.signer, self._now(), lasts)
                await self._cluster.apply(secret(plan.namespace, name, files[name], kind=_TLS))
        own, operator = files[BROKERS_SECRET], files[OPERATOR_SECRET]
        return Keys(trust=authorities.bundle, brokers=own, operator=operator, members=members)

    async def members(self, namespace: str) -> Authorities:
        """Who signs for hospitals in other clusters, and for nobody else.

        Raises:
            IdentityError: what its Secret holds is damaged.
        """
        return await self._authorities(namespace, MEMBERS_SECRET)

    async def _authorities(self, namespace: str, name: str) -> Authorities:
        """Whoever comes first makes it, once; what is there is never lost, for everybody believes it."""
        data = decoded(await self._cluster.get(SECRET, namespace, name))
        if not data:
            first = secret(namespace, name, Authorities.begin(self._now()).files())
            data = decoded(await self._cluster.create_once(first))
        there = Authorities.read(data)
        # Without a signer there is a bundle that cert-manager's certificates were checked by.
        found = there or replace(Authorities.begin(self._now()), earlier=tuple(parse_bundle(data.get(BUNDLE, b""))))
        if (after := found.at(self._now())) != there:
            await self._cluster.apply(secret(namespace, name, after.files()))
        return after

    async def _by_cert_manager(self, plan: Plan) -> Keys | NotReady:
        issuer = self._settings.issuer_ref
        if issuer is None:
            message = "The operator is to use cert-manager and is not told which issuer. Set certificates.issuerRef."
            return NotReady(reason="CertificatesMisconfigured", message=message, retry_seconds=_LATER)
        if not await self._cluster.exists(CERTIFICATE):
            message = "The operator is to use cert-manager, which is not installed. Install it, or set "
            message += "certificates.issuing to Builtin."
            return NotReady(reason="CertManagerMissing", message=message, retry_seconds=_LATER)
        files = {}
        for name, leaf in _leaves(plan).items():
            made = await self._cluster.apply(self._request(plan.namespace, name, leaf, issuer))
            files[name] = decoded(await self._cluster.get(SECRET, plan.namespace, name))
            if not all(files[name].get(key) for key in (leaves.CERTIFICATE, leaves.KEY, BUNDLE)):
                return _pending(plan.namespace, name, made)
        trust = await self._believed(plan.namespace, [each[BUNDLE] for each in files.values()])
        return Keys(trust=trust, brokers=files[BROKERS_SECRET], operator=files[OPERATOR_SECRET])

    async def _believed(self, namespace: str, bundles: list[bytes]) -> bytes:
        """Also those of earlier certificates, which a node that is still to be started again may have."""
        before = decoded(await self._cluster.get(SECRET, namespace, AUTHORITY_SECRET)).get(BUNDLE, b"")
        if (trust := united(self._now(), before, *bundles)) != before:
            await self._cluster.apply(secret(namespace, AUTHORITY_SECRET, {BUNDLE: trust}))
        return trust

    def _request(
        self, namespace: str, name: str, leaf: Leaf, issuer: Mapping[Literal["name", "kind", "group"], str]
    ) -> Document:
        settings = self._settings
        early = min(settings.renew_days * 24, settings.lasts_days * 12)
        return {
            "apiVersion": CERTIFICATE.api_version,
            "kind": CERTIFICATE.kind,
            "metadata": {"name": name, "namespace": namespace, "labels": labels(COMPONENT_NAME)},
            "spec": {
                "secretName": name,
                "commonName": leaf.principal,
                **_hosts(leaf.hosts),
                "usages": ["digital signature", "client auth", *(["server auth"] if leaf.hosts else [])],
                # Kafka reads no other encoding.
                "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
                "duration": f"{settings.lasts_days * 24}h0m0s",
                "renewBefore": f"{early}h0m0s",
                "issuerRef": dict(issuer),
            },
        }


def _hosts(hosts: Sequence[str]) -> Document:
    """As cert-manager has them: names apart from addresses."""
    addresses = [host for host in hosts if _is_address(host)]
    names = [host for host in hosts if host not in addresses]
    return ({"dnsNames": names} if names else {}) | ({"ipAddresses": addresses} if addresses else {})


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _leaves(plan: Plan) -> dict[str, Leaf]:
    return {
        BROKERS_SECRET: Leaf(principal=leaves.BROKER, hosts=plan.names),
        OPERATOR_SECRET: Leaf(principal=leaves.OPERATOR),
    }


def _pending(namespace: str, name: str, certificate: Document) -> NotReady:
    said = condition_message(certificate, "Ready") or "It has not answered yet."
    message = f"cert-manager has not issued the Certificate {namespace}/{name} with a ca.crt beside it: {said} "
    message += f"Look at it: kubectl -n {namespace} describe certificate {name}."
    return NotReady(reason="CertificatesPending", message=message, retry_seconds=_SOON)
