"""The certificates of a TLS connection: whom to trust, who we are, and what is wrong with them."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from consilia.errors import ConsiliaError, LogAccessError, LogError
from consilia.kafka.settings import KafkaSettings


def load_certificates(context: ssl.SSLContext, settings: KafkaSettings) -> None:
    """Put the settings' certificates to trust, and the party's own with its key, into `context`.

    Raises:
        LogError: a file is missing, unreadable or holds something else, or the key is another one's or encrypted.
        LogAccessError: the party's own certificate has expired or is not valid yet.
    """
    if settings.ca:
        _load_trusted(context, settings.ca)
    else:
        context.load_default_certs()
    if settings.certificate and settings.key:
        _require_valid_now(settings.certificate)
        _load_own(context, settings.certificate, settings.key)


def names_of(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses that a certificate is for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    names = extension.value.get_values_for_type(x509.DNSName)
    return [*names, *map(str, extension.value.get_values_for_type(x509.IPAddress))]


def _load_trusted(context: ssl.SSLContext, path: Path) -> None:
    _read(path, "ca")
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise _no_certificate(path, "ca") from None


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    if b"-----BEGIN" not in _read(key, "key"):
        raise LogError(f"{key} holds no private key in PEM form.", remedy="Correct key in the Kafka settings.")
    try:
        context.load_cert_chain(certificate, key, password=lambda: _refuse_encrypted(key))
    except ssl.SSLError as error:
        reason = "is not the key of" if error.reason == "KEY_VALUES_MISMATCH" else "cannot be used with"
        message = f"the private key in {key} {reason} the certificate in {certificate}."
        raise LogError(message, remedy="Give the certificate and the key that were made together.") from None


def _refuse_encrypted(key: Path) -> str:
    """In place of OpenSSL's own question, which would wait for an answer at a terminal that nobody sees."""
    message = f"the private key in {key} is encrypted."
    raise LogError(message, remedy="Decrypt it with `openssl pkcs8`, and let only its owner read it.")


def _require_valid_now(path: Path) -> None:
    try:
        certificate = x509.load_pem_x509_certificate(_read(path, "certificate"))
    except ValueError:
        raise _no_certificate(path, "certificate") from None
    now, begin, end = datetime.now(UTC), certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        message = f"the certificate in {path} expired on {end:%Y-%m-%d at %H:%M} UTC."
        raise LogAccessError(message, remedy="Have a new one signed, and put it and its key in the place of the old.")
    if now < begin:
        message = (
            f"the certificate in {path} is valid from {begin:%Y-%m-%d %H:%M} UTC on; here it is {now:%Y-%m-%d %H:%M}."
        )
        raise LogAccessError(message, remedy="Set this machine's clock, or wait.")


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}."
        raise LogError(message, remedy=f"Correct {setting} in the Kafka settings, or the file's mode.") from None


def _no_certificate(path: Path, setting: str) -> ConsiliaError:
    message = f"{path} holds no certificate in PEM form."
    return LogError(message, remedy=f"Correct {setting} in the Kafka settings.")
