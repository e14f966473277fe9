"""Who is who in a cluster: certificates of its own authority, and the kubeconfigs that hold them."""

import base64
import ipaddress
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from consilia.certificates import write_private
from tests.cluster.addresses import Addresses

LASTS = timedelta(days=30)
SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
CLIENTS = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "proxy": ("system:kube-proxy", None),
    "apiserver-to-kubelet": ("apiserver-to-kubelet", "system:masters"),
}
"""Who calls the API server, and it the kubelet: by file, common name and group."""


@dataclass(frozen=True, slots=True)
class Authority:
    """One certificate authority, which keeps what it signs in a folder."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, folder: Path, name: str) -> "Authority":
        """A new one; its certificate is NAME.crt."""
        made = cls(folder, name, ec.generate_private_key(ec.SECP256R1()))
        made.issue(name, name)
        return made

    def issue(self, file: str, common: str, group: str | None = None, hosts: tuple[str, ...] = ()) -> None:
        """Sign a new key for whoever is called `common`: FILE.crt and FILE.key. The authority's own is signed alike."""
        key = self.key if common == self.name else ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(_subject(common, group))
            .issuer_name(_subject(self.name, None))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(minutes=5))
            .not_valid_after(datetime.now(UTC) + LASTS)
            .add_extension(x509.BasicConstraints(ca=key is self.key, path_length=None), critical=True)
            .add_extension(_usage(signs=key is self.key), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if key is not self.key:
            uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_host, hosts))), critical=False)
        signed = builder.sign(self.key, SHA256())
        (self.folder / f"{file}.crt").write_bytes(signed.public_bytes(Encoding.PEM))
        write_private(
            self.folder / f"{file}.key",
            key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        )


def create(folder: Path, addresses: Addresses, nodes: int) -> None:
    """All certificates, keys and kubeconfigs of a cluster, for so many nodes."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority.create(folder, "ca")
    hosts = (*SERVICE_NAMES, "localhost", "127.0.0.1", str(addresses.node(0)), str(addresses.services[1]))
    authority.issue("apiserver", "kube-apiserver", hosts=hosts)
    for file, (common, group) in CLIENTS.items():
        authority.issue(file, common, group)
    for number in range(nodes):
        name = f"node-{number}"
        authority.issue(name, f"system:node:{name}", "system:nodes", (name, str(addresses.node(number))))
    front = Authority.create(folder, "front-proxy-ca")
    front.issue("front-proxy", "front-proxy-client")
    _create_signer(folder)
    for file in (*CLIENTS, *(f"node-{number}" for number in range(nodes))):
        write_private(folder / f"{file}.conf", kubeconfig(folder, file, addresses.server))


def _create_signer(folder: Path) -> None:
    """The key that signs the tokens of ServiceAccounts."""
    signer = ec.generate_private_key(ec.SECP256R1())
    private = signer.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    write_private(folder / "tokens.key", private)
    public = signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "tokens.pub").write_bytes(public)


def kubeconfig(folder: Path, user: str, server: str) -> bytes:
    """How a user reaches the API server; JSON, which is YAML as well."""
    described = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "consilia-test",
        "contexts": [{"name": "consilia-test", "context": {"cluster": "consilia-test", "user": user}}],
        "clusters": [
            {
                "name": "consilia-test",
                "cluster": {"server": server, "certificate-authority-data": _encoded(folder / "ca.crt")},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _encoded(folder / f"{user}.crt"),
                    "client-key-data": _encoded(folder / f"{user}.key"),
                },
            }
        ],
    }
    return json.dumps(described, indent=1).encode()


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _subject(common: str, group: str | None) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    """What Python 3.13 wants to see before it believes a certificate."""
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
