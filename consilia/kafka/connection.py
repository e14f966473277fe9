"""What kafka-python's clients are told, from the settings; secrets are read from their files here."""

from collections.abc import Callable
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.net import KafkaNetClient

from consilia.kafka.network import DIRECT, tls_context
from consilia.kafka.password import read_password
from consilia.kafka.proxy import Proxy
from consilia.kafka.quiet import quieten
from consilia.kafka.readiness import Client
from consilia.kafka.settings import KafkaSettings
from consilia.kafka.tunnel import proxy_url
from consilia.log.interface import CHUNK_BYTES

CLIENT = "consilia"
MESSAGE_BYTES = 3 << 20
"""The most that a broker must take at once: a batch of two chunks with their keys and headers, and room."""
ANSWER_SECONDS = 2.5
"""How long an administrative request may take before the cluster counts as away."""
_WRAPPING = 1 << 10
"""The most that surrounds a chunk of ours on the wire. A broker cuts what it sends at the limit, wherever that is: one
without room for the wrapping would cut every fourth chunk off just before its end, to be fetched again."""
_BATCH_BYTES = 2 * (CHUNK_BYTES + _WRAPPING)
"""Two chunks: a request costs kafka-python a millisecond, whatever is in it; copies of more leave the cache."""
_LINGER = 20
"""How long small records wait for company, in milliseconds; a commit sends them at once."""
_REQUEST = 30_000
"""How long a broker may take for one request before it is asked again, in milliseconds: Kafka's own default."""
_LONGEST_PAUSE = 1000
"""Between two tries to reach a broker that is away, in milliseconds: it may be back in seconds."""
_CODECS = {"None": None, "Gzip": "gzip", "Lz4": "lz4", "Zstd": "zstd"}

Made = TypeVar("Made")


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """The keyword arguments that kafka-python's consumer, producer and admin client have in common.

    Whoever makes a client also wants its log kept short; see `quieten`.

    Raises:
        LogError: a file that the settings name cannot be read.
        LogAccessError: this party's certificate has expired or is not valid yet.
    """
    quieten()
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "bootstrap_timeout_ms": round(settings.connect_seconds * 1000),
        "client_id": CLIENT,
        "reconnect_backoff_max_ms": _LONGEST_PAUSE,
        "security_protocol": ("SASL_" if settings.username else "") + ("SSL" if settings.tls else "PLAINTEXT"),
        "proxy_url": proxy_url(proxy) if (proxy := Proxy.of(settings)) else DIRECT,
    }
    if settings.tls:
        options["ssl_context"] = tls_context(settings)
    if settings.username and settings.password:
        options["sasl_mechanism"] = "SCRAM-SHA-512"
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = read_password(settings.password, "password")
    return options


def make_consumer(settings: KafkaSettings, *, wait_ms: int) -> KafkaConsumer:
    """A consumer without a group, of committed records only.

    `wait_ms` is how long a broker that has nothing new keeps a request before it answers, in milliseconds; meanwhile
    the connection serves nothing else.
    """
    fetch = settings.fetch_bytes + settings.fetch_bytes // CHUNK_BYTES * _WRAPPING
    return _made(
        KafkaConsumer,
        **client_options(settings),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        allow_auto_create_topics=False,
        fetch_max_wait_ms=wait_ms,
        fetch_max_bytes=fetch,
        max_partition_fetch_bytes=fetch,
        metrics_enabled=False,
    )


def make_producer(settings: KafkaSettings, transactional_id: str) -> KafkaProducer:
    """A transactional producer that has not taken over yet."""
    delivery = round(settings.delivery_seconds * 1000)
    return _made(
        KafkaProducer,
        Client,
        **client_options(settings),
        request_timeout_ms=min(_REQUEST, delivery - _LINGER - 1),
        transactional_id=transactional_id,
        transaction_timeout_ms=round(settings.transaction_seconds * 1000),
        delivery_timeout_ms=delivery,
        max_block_ms=delivery,
        max_request_size=MESSAGE_BYTES,
        batch_size=_BATCH_BYTES,
        linger_ms=_LINGER,
        compression_type=_CODECS[settings.compression],
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )


def make_admin(settings: KafkaSettings) -> KafkaAdminClient:
    """An administrative client; it answers or fails soon."""
    return _made(KafkaAdminClient, **client_options(settings), request_timeout_ms=round(ANSWER_SECONDS * 1000))


def _made(make: Callable[..., Made], talk: Callable[..., KafkaNetClient] = KafkaNetClient, **options: object) -> Made:
    """What `make` makes, to talk through what `talk` makes.

    Where the cluster does not let it in, kafka-python raises and leaves a thread behind that tries for ever.
    """
    begun: list[KafkaNetClient] = []

    def begin(**given: object) -> KafkaNetClient:
        begun.append(talk(**given))
        return begun[0]

    try:
        return make(kafka_client=begin, **options)
    except BaseException:
        for each in begun:
            each.close()
        raise
