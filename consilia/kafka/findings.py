"""What can be wrong between a party and a broker, in words: each an error that names the broker and the way out."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from consilia.errors import ConsiliaError, LogAccessError, LogError, LogUnavailableError
from consilia.kafka.certificates import names_of
from consilia.kafka.proxy import Proxy, authority
from consilia.kafka.settings import KafkaSettings

_SECURE_PORT = (
    "Choose the port of a SASL_SSL listener with SCRAM-SHA-512, or set certificate and key instead of username."
)
_EXPIRED, _NOT_YET_VALID, _WRONG_NAME, _WRONG_ADDRESS = 10, 9, 62, 64
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED, CERT_NOT_YET_VALID, HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A broker's address, as one party goes there."""

    settings: KafkaSettings
    host: str
    port: int

    @property
    def address(self) -> str:
        """host:port."""
        return authority(self.host, self.port)

    def __str__(self) -> str:
        """In words for a message."""
        proxy = Proxy.of(self.settings)
        return f"Kafka at {self.address}" + (f" through the proxy {proxy}" if proxy else "")


def unknown_host(peer: Peer, host: str, reason: str) -> ConsiliaError:
    """`host`, the broker's or the proxy's, has no address."""
    message = f"{peer} cannot be reached: the name {host} is not known here ({reason})."
    return LogUnavailableError(
        message, remedy="Correct the name in the Kafka settings, or this machine's name service."
    )


def refused(peer: Peer, address: str) -> ConsiliaError:
    """Nobody listens at `address`, the broker's or the proxy's."""
    message = f"{peer} cannot be reached: {address} refuses connections, so nothing runs at that port."
    return LogUnavailableError(message, remedy="Start what should run there, or correct host and port in the settings.")


def unreachable(peer: Peer, reason: str) -> ConsiliaError:
    """The operating system knows no way."""
    message = f"{peer} cannot be reached: {reason}."
    remedy = "See that the network leads there and no firewall is in between, or set proxy in the Kafka settings."
    return LogUnavailableError(message, remedy=remedy)


def silent(peer: Peer, step: str, seconds: float) -> ConsiliaError:
    """Nothing came back while `step` was under way."""
    message = f"{peer} does not answer: {step} was not done after {seconds:.1f} s."
    remedy = "See that it is a broker's port, that the broker is not stuck, and that no firewall is in between."
    return LogUnavailableError(message, remedy=remedy)


def hung_up(peer: Peer, step: str) -> ConsiliaError:
    """The connection ended while `step` was under way."""
    message = f"{peer} closed the connection to {peer.settings.principal} while {step}."
    return LogUnavailableError(message, remedy="See the broker's log for the reason; it may be stopping or starting.")


def no_kafka(peer: Peer) -> ConsiliaError:
    """What answers speaks something else."""
    message = f"what answers at {peer.address} is no Kafka broker."
    return LogError(message, remedy="Correct bootstrapServers in the Kafka settings: a broker's host and port.")


def controller(peer: Peer) -> ConsiliaError:
    """The port is for controllers."""
    message = f"{peer.address} is the port of a Kafka controller, not of a broker."
    return LogError(message, remedy="Correct bootstrapServers in the Kafka settings: the port of a broker's listener.")


def no_brokers(peer: Peer) -> ConsiliaError:
    """It answers, and knows of no broker, not even of itself."""
    message = f"{peer} answers, but its cluster has no broker that works."
    return LogUnavailableError(message, remedy="Wait until it has started; else look into the log of its controller.")


def speaks_tls(peer: Peer) -> ConsiliaError:
    """The settings say plain, the port says TLS."""
    message = f"{peer} speaks TLS, and the settings say tls: false."
    return LogError(message, remedy="Set tls to true, and ca to the certificates to trust, or choose a plain port.")


def speaks_plain(peer: Peer) -> ConsiliaError:
    """The settings say TLS, the port says plain."""
    message = f"{peer} does not speak TLS, and the settings say tls: true."
    return LogError(message, remedy="Choose the port of a TLS listener; set tls to false only inside one machine.")


def no_common_tls(peer: Peer, reason: str) -> ConsiliaError:
    """TLS on both sides, and no agreement."""
    message = f"{peer} and this machine cannot agree on TLS 1.2 or newer: {reason}."
    return LogError(message, remedy="Correct ssl.enabled.protocols and ssl.cipher.suites of the broker.")


def bad_broker_certificate(
    peer: Peer, error: ssl.SSLCertVerificationError, shown: x509.Certificate | None
) -> ConsiliaError:
    """The certificate that the broker shows is not to be trusted."""
    message = f"{peer} cannot be trusted: its certificate {_what_is_wrong(peer, error, shown)}."
    return LogAccessError(message, remedy=_remedy(peer, error.verify_code))


def _what_is_wrong(peer: Peer, error: ssl.SSLCertVerificationError, shown: x509.Certificate | None) -> str:
    code, now = error.verify_code, f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    if code == _EXPIRED:
        return "has expired" + (
            f" on {shown.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; here it is {now}" if shown else ""
        )
    if code == _NOT_YET_VALID:
        since = f" before {shown.not_valid_before_utc:%Y-%m-%d %H:%M} UTC" if shown else " yet"
        return f"is not valid{since}; by this machine's clock it is {now}"
    if code in (_WRONG_NAME, _WRONG_ADDRESS):
        return f"is not for {peer.host}" + (
            f", but for {', '.join(names_of(shown)) or 'no name at all'}" if shown else ""
        )
    trusted = f"whom {peer.settings.ca} holds" if peer.settings.ca else "whom this operating system trusts"
    return f"is not signed by anybody {trusted} ({error.verify_message})"


def _remedy(peer: Peer, code: int) -> str:
    if code == _EXPIRED:
        return "Have whoever runs the broker renew it; if it is valid, set this machine's clock."
    if code == _NOT_YET_VALID:
        return "Set this machine's clock."
    if code in (_WRONG_NAME, _WRONG_ADDRESS):
        return f"Use a name that it is for, or have whoever runs the broker get one for {peer.host}."
    return "Set ca to the certificate of the authority that signs the brokers' certificates."


def certificate_wanted(peer: Peer) -> ConsiliaError:
    """The listener wants a client certificate."""
    message = f"{peer} asks for a certificate, and the settings name none."
    return LogAccessError(message, remedy="Set certificate and key, or choose the port of a listener with passwords.")


def certificate_refused(peer: Peer, reason: str) -> ConsiliaError:
    """The listener does not take the party's certificate."""
    message = f"{peer} does not accept the certificate in {peer.settings.certificate} ({reason})."
    remedy = "Have it signed by an authority in the broker's ssl.truststore, or renew it if it was revoked."
    return LogAccessError(message, remedy=remedy)


def login_wanted(peer: Peer) -> ConsiliaError:
    """The listener wants user and password."""
    message = f"{peer} asks for user and password, and the settings name none."
    return LogAccessError(message, remedy="Set username and password, or choose the port of a listener without them.")


def no_login(peer: Peer) -> ConsiliaError:
    """The listener wants no user."""
    message = f"{peer} does not let {peer.settings.principal} log in: the listener takes no passwords."
    return LogAccessError(message, remedy=_SECURE_PORT)


def other_login(peer: Peer, offered: str) -> ConsiliaError:
    """The listener wants another kind of login."""
    message = f"{peer} does not let {peer.settings.principal} log in by SCRAM-SHA-512: it offers only {offered}."
    return LogAccessError(message, remedy=_SECURE_PORT)


def wrong_password(peer: Peer) -> ConsiliaError:
    """No such user, or the user by another password: SCRAM does not tell which."""
    message = f"{peer} does not accept {peer.settings.principal}: there is no such user, or the password is wrong."
    remedy = f"Correct the password in {peer.settings.password}, or username in the Kafka settings."
    return LogAccessError(message, remedy=remedy)


def impostor(peer: Peer) -> ConsiliaError:
    """The broker did not prove that it knows the password (RFC 5802 §5, the server's signature)."""
    message = f"{peer} accepts {peer.settings.principal} without knowing the password."
    return LogAccessError(message, remedy="Do not use it: somebody may have put something else in the broker's place.")


def announced(peer: Peer, node: int, through: Peer, error: ConsiliaError) -> ConsiliaError:
    """`error` hit the address under which the cluster, asked at `through`, announces its broker `node`."""
    message = (
        f"Kafka at {through.address} announces its broker {node} as {peer.address} (advertised.listeners), "
        f"but: {error.message}"
    )
    if isinstance(error, LogUnavailableError):
        remedy = f"Make {peer.address} reachable from here (name service, firewall, proxy), or correct"
        return LogUnavailableError(message, remedy=f"{remedy} advertised.listeners of broker {node}.")
    return type(error)(message, remedy=error.remedy)
