"""From where a visit broke off to what is wrong, looking a second time where the first tells too little."""

import ssl
from collections.abc import Callable
from typing import TypeVar

from cryptography import x509
from kafka.errors import KafkaProtocolError
from kafka.protocol.metadata import ApiVersionsRequest
from kafka.protocol.sasl import SaslHandshakeRequest

from consilia.errors import ConsiliaError
from consilia.kafka import findings
from consilia.kafka.approach import Approach, Step
from consilia.kafka.certificates import load_certificates
from consilia.kafka.network import tls_context

MECHANISM = "SCRAM-SHA-512"
_TLS_ALERT = b"\x15\x03"
_MINDS_CERTIFICATE = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE")
"""Parts of OpenSSL's names of the alerts by which a broker minds the client's certificate, or that there is none."""

Seen = TypeVar("Seen")
FAILURES = (OSError, EOFError, KafkaProtocolError)
"""What an approach may end with: every error of sockets and TLS, the end, something that is not Kafka's."""


def explain(approach: Approach, error: Exception) -> ConsiliaError:
    """What it means that `approach` ended with `error`, one of `FAILURES`."""
    peer = approach.peer
    if isinstance(error, TimeoutError):
        return approach.timeout()
    if isinstance(error, ssl.SSLCertVerificationError):
        return findings.bad_broker_certificate(peer, error, _shown_certificate(approach))
    if isinstance(error, KafkaProtocolError):
        alert = approach.seen.startswith(_TLS_ALERT) and not peer.settings.tls
        return findings.speaks_tls(peer) if alert else findings.no_kafka(peer)
    if reason := _minds_certificate(error):
        return _about_own_certificate(approach, reason)
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _no_tls(approach, error)
    return _hung_up(approach)


def offered_logins(approach: Approach) -> list[str] | None:
    """The kinds of login that the listener knows; None if it wants none."""
    answer = approach.ask(SaslHandshakeRequest[1](mechanism=MECHANISM))
    return list(answer.mechanisms) or None


def _minds_certificate(error: Exception) -> str:
    """The alert's name in words, if it is about the client's certificate."""
    reason = str(getattr(error, "reason", None) or "")
    minds = "ALERT" in reason and any(part in reason for part in _MINDS_CERTIFICATE)
    return reason.partition("ALERT_")[2].replace("_", " ").lower() if minds else ""


def _about_own_certificate(approach: Approach, reason: str) -> ConsiliaError:
    if approach.peer.settings.certificate is None:
        return findings.certificate_wanted(approach.peer)
    return findings.certificate_refused(approach.peer, reason)


def _no_tls(approach: Approach, error: ssl.SSLError) -> ConsiliaError:
    if _answers_plainly(approach):
        return findings.speaks_plain(approach.peer)
    return findings.no_common_tls(approach.peer, str(error.reason or error).replace("_", " ").lower())


def _hung_up(approach: Approach) -> ConsiliaError:
    """The broker ended the connection without a word."""
    peer, step = approach.peer, approach.step
    if step is Step.TLS and _answers_plainly(approach):
        return findings.speaks_plain(peer)
    if step is Step.GREETING and not peer.settings.tls and _shown_certificate(approach):
        return findings.speaks_tls(peer)
    if step is Step.GREETING and peer.settings.tls and (reason := _late_alert(approach)):
        return _about_own_certificate(approach, reason)
    if step is Step.BROKERS and not peer.settings.username and _wants_login(approach):
        return findings.login_wanted(peer)
    return findings.hung_up(peer, step)


def _second_look(approach: Approach, look: Callable[[Approach], Seen]) -> Seen | None:
    """What `look` sees on a connection of its own; None if nothing."""
    again = approach.again()
    try:
        again.connect()
        return look(again)
    except (ConsiliaError, *FAILURES):
        return None
    finally:
        again.close()


def _answers_plainly(approach: Approach) -> bool:
    return _second_look(approach, lambda again: bool(again.ask(ApiVersionsRequest[0]()))) or False


def _shown_certificate(approach: Approach) -> x509.Certificate | None:
    """The broker's certificate, whether or not it is to be trusted."""

    def look(again: Approach) -> x509.Certificate | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        load_certificates(context, approach.peer.settings)
        shown = again.secure(context).getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown) if shown else None

    return _second_look(approach, look)


def _late_alert(approach: Approach) -> str:
    """In TLS 1.3 a certificate is refused after the handshake; what was sent by then may have cost us the alert."""

    def look(again: Approach) -> str:
        again.secure(tls_context(approach.peer.settings))
        try:
            again.listen()
        except ssl.SSLError as error:
            return _minds_certificate(error)
        return ""

    return _second_look(approach, look) or ""


def _wants_login(approach: Approach) -> bool:
    def look(again: Approach) -> bool:
        if again.peer.settings.tls:
            again.secure(tls_context(again.peer.settings))
        return bool(offered_logins(again))

    return _second_look(approach, look) or False
