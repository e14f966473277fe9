"""docs/reference/kafka-settings.md: how a party reaches a Kafka cluster."""

from pathlib import Path

from consilia.kafka.settings import KafkaSettings
from scripts.pages.fields import fields_table
from scripts.pages.markdown import fenced, page

INTRODUCTION = """\
How one party reaches a Kafka cluster: one JSON object in a file, which a log's address names: `kafka:///path/of/it.json`.
Each party has its own, with its own credentials; [the guide](../guides/kafka.md) goes through it step by step.

Relative paths are relative to the file's folder. Secrets never stand in it: they lie in files of their own, and it says
where. A field that does not exist is refused."""

TOGETHER = """\
- `certificate` and `key` belong together, and so do `username` and `password`, `proxyUsername` and `proxyPassword`.
- `ca`, `certificate` and `username` need `tls`: no password travels in the clear.
- With `certificate` the broker takes the party for the holder of the certificate (mTLS), with `username` for the user
  (SASL/SCRAM-SHA-512). With neither it is anonymous, which suits a broker on one's own machine.
- Without `proxy` the way is direct: the environment's proxies are not asked."""

PASSWORD = KafkaSettings(
    bootstrap_servers=("kafka-1.hub.example:9093", "kafka-2.hub.example:9093"),
    tls=True,
    ca=Path("ca.pem"),
    username="riverside",
    password=Path("password"),
)
CERTIFICATE = KafkaSettings(
    bootstrap_servers=("kafka-1.hub.example:9094",),
    tls=True,
    ca=Path("ca.pem"),
    certificate=Path("riverside.pem"),
    key=Path("riverside-key.pem"),
    proxy="http://proxy.riverside.example:3128",
)


def kafka_settings_page() -> str:
    """The page."""
    return page(
        "# Kafka settings",
        INTRODUCTION,
        fields_table(KafkaSettings, KafkaSettings.model_fields),
        "## What belongs together",
        TOGETHER,
        "## Examples",
        "A hospital with a password:",
        _example(PASSWORD),
        "One with a certificate, behind a proxy:",
        _example(CERTIFICATE),
    )


def _example(settings: KafkaSettings) -> str:
    return fenced(settings.model_dump_json(by_alias=True, exclude_defaults=True, indent=2), "json")
