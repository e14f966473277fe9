"""A hospital's link to its hub, as it is kept in the hospital's namespace: see `consilia.enrolment.keeping`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from cryptography import x509

from consilia.certificates import new_key, request_certificate
from consilia.enrolment.keeping import (
    BUNDLE_FILE,
    KEY_FILE,
    LINK,
    NEXT_KEY_FILE,
    files_of,
    key_pem,
    parse_key,
    require_ours,
    with_bundle,
)
from consilia.enrolment.papers import JoinBundle
from consilia.errors import IdentityError
from consilia.wire.identity import Identity, PublicKey
from consilia_operator.api_server import ApiServer
from consilia_operator.identities import identity, private_key
from consilia_operator.kinds import SECRET
from consilia_operator.settings import OutboundProxy
from consilia_operator.transport.credentials import by_certificate, through
from consilia_operator.transport.interface import CERTIFICATE_FILE, Credentials

_RENEWED = 1 / 3
"""Of a certificate's life is left when the next one is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How a hospital and its hub reach each other, and know each other's words."""

    hub: str
    hub_key: PublicKey
    identity: Identity
    """The hospital's."""
    log: Mapping[str, bytes] = field(repr=False)
    """The hospital's way to the log: files by name, `kafka.json` among them."""
    files: Mapping[str, bytes] = field(repr=False)
    """As they lie in the Secret."""

    @property
    def hospital(self) -> str:
        """Its name."""
        return self.identity.name

    @property
    def certificate(self) -> x509.Certificate:
        """What the hospital logs in with."""
        return x509.load_pem_x509_certificate(self.log[CERTIFICATE_FILE])

    def is_still(self, found: "Link | None") -> bool:
        """Whether what was found is the same; keys cannot be compared as such."""
        return found is not None and _contents(self) == _contents(found)

    def is_due(self, now: datetime) -> bool:
        """Whether it is time to ask for the next certificate."""
        begins, ends = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return now >= ends - (ends - begins) * _RENEWED


def _contents(link: Link) -> tuple[str, str, Mapping[str, bytes], Mapping[str, bytes]]:
    return link.hub, link.hub_key.text(), link.log, link.files


async def find(api: ApiServer, namespace: str, proxy: OutboundProxy) -> Link | None:
    """The link of the hospital of that namespace, by way of its proxy; None if it has joined no hub.

    Raises:
        IdentityError: what was handed out is damaged, or is for another hospital or another key; or the proxy's
            password is missing.
    """
    files = files_of(await api.get(SECRET, namespace, LINK))
    if BUNDLE_FILE not in files:
        return None
    found = read(files, Identity(namespace, private_key(await identity(api, namespace))))
    password = files_of(await api.get(SECRET, namespace, proxy.secret)).get("password", b"") if proxy.username else b""
    return by_way_of(found, proxy, password)


def by_way_of(link: Link, proxy: OutboundProxy, password: bytes) -> Link:
    """The same through the proxy, if there is one.

    Raises:
        IdentityError: it asks for a password, and there is none.
    """
    if proxy.url is None:
        return link
    if proxy.username and not password:
        message = (
            f"the Secret {link.hospital}/{proxy.secret} with the proxy's password is not there, or has no `password`."
        )
        raise IdentityError(message, remedy="Make it, or leave operator.proxy.username out.")
    return replace(link, log=through(Credentials(files=link.log), proxy.url, proxy.username, password).files)


def read(files: Mapping[str, bytes], own: Identity) -> Link:
    """From what lies in the Secret.

    Raises:
        IdentityError: it is damaged, or is for another hospital or another key.
    """
    bundle = JoinBundle.read(files[BUNDLE_FILE])
    require_ours(bundle, own)
    if not (key := files.get(KEY_FILE)):
        message = f"the Secret {own.name}/{LINK} has no {KEY_FILE}."
        raise IdentityError(message, remedy="Join again: consilia enroll request.")
    log = by_certificate(bundle.bootstrap_servers, bundle.ca.encode(), bundle.certificate.encode(), key)
    key_of_hub = PublicKey.from_text(bundle.hub_key)
    return Link(hub=bundle.hub, hub_key=key_of_hub, identity=own, log=log.files, files=dict(files))


def renewed(link: Link, handed_out: Mapping[str, object]) -> dict[str, bytes]:
    """The Secret's files with what the hub hands out now.

    Raises:
        IdentityError: it is not from the hub that was joined, or for a key that is not here.
    """
    bundle = JoinBundle.read(json.dumps(handed_out))
    if bundle.hub != link.hub or bundle.hub_key.strip() != link.hub_key.text().strip():
        raise IdentityError(f"a bundle of another hub was handed out in the name of {link.hub}.")
    require_ours(bundle, link.identity)
    return with_bundle(link.files, bundle)


def next_request(link: Link) -> tuple[dict[str, bytes], str]:
    """The Secret's files with a key for the next certificate, and the request for that: the same until it is there."""
    pem = link.files.get(NEXT_KEY_FILE)
    key = parse_key(pem, f"{NEXT_KEY_FILE} in Secret {link.hospital}/{LINK}") if pem else new_key()
    return dict(link.files) | {NEXT_KEY_FILE: key_pem(key)}, request_certificate(key, link.hospital).decode()
