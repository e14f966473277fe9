"""Ports on loopback where something other than a healthy broker answers."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from consilia.certificates import Credentials, issue_server

HOST = "127.0.0.1"


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where every connection is given to `serve`, one after the other, and then closed."""
    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=_accept, args=(server, serve), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _accept(server: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            connection.settimeout(10)
            serve(connection)


def answering(*answers: bytes) -> Callable[[socket.socket], None]:
    """Says the first of these to whatever it is told first, the second to what it is told next, and so on."""

    def serve(connection: socket.socket) -> None:
        for answer in answers:
            if not connection.recv(1 << 16):
                return
            connection.sendall(answer)

    return serve


def silent(connection: socket.socket) -> None:
    """Listens, and never says a word."""
    while connection.recv(1 << 16):
        pass


def hanging_up(connection: socket.socket) -> None:
    """Hears the first words, and goes."""
    connection.recv(1 << 16)


def showing(
    certificate: Path, key: Path, serve: Callable[[socket.socket], None] = hanging_up
) -> Callable[[socket.socket], None]:
    """Agrees on TLS with this certificate, and goes on with `serve`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def secure(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            serve(secured)

    return secure


def issued_for(authority: Credentials, begins: timedelta, ends: timedelta) -> Credentials:
    """A server's certificate for loopback, valid from and to so long after now."""
    usual, now = issue_server(authority, "broker", [HOST, "localhost"], lasts=timedelta(days=1)), datetime.now(UTC)
    builder = x509.CertificateBuilder(
        usual.certificate.issuer, usual.certificate.subject, usual.key.public_key(), usual.certificate.serial_number
    ).not_valid_before(now + begins)
    builder = builder.not_valid_after(now + ends)
    for extension in usual.certificate.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return Credentials(certificate=builder.sign(authority.key, SHA256()), key=usual.key)
