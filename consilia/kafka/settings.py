"""How to reach a Kafka cluster, field by field, with units and defaults: a JSON file beside the secrets it names."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from consilia.errors import LogError

Address = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$", max_length=260)]
Proxy = Annotated[str, Field(pattern=r"^(http|socks5|socks5h)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$")]
Compression = Literal["None", "Gzip", "Lz4", "Zstd"]


class KafkaSettings(BaseModel):
    """A Kafka cluster as one party sees it. Secrets lie in files of their own; their paths stand here."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    bootstrap_servers: tuple[Address, ...] = Field(
        min_length=1, description="Brokers to begin with, as host:port; the others are learnt from them."
    )
    tls: bool = Field(default=False, description="Encrypt, and check that the broker's certificate is for its name.")
    ca: Path | None = Field(
        default=None, description="The certificates to trust, in PEM form. Default: the operating system's."
    )
    certificate: Path | None = Field(default=None, description="This party's own certificate, in PEM form (mTLS).")
    key: Path | None = Field(default=None, description="Its private key, in PEM form, readable by its owner only.")
    username: str | None = Field(default=None, min_length=1, description="SASL/SCRAM-SHA-512 user.")
    password: Path | None = Field(default=None, description="A file with the user's password, and nothing else.")
    proxy: Proxy | None = Field(
        default=None, description="The way out of the hospital: http://host:port (by CONNECT), socks5:// or socks5h://."
    )
    proxy_username: str | None = Field(default=None, min_length=1, description="The user there, if it asks for one.")
    proxy_password: Path | None = Field(default=None, description="A file with that user's password, nothing else.")
    compression: Compression = Field(
        default="None", description="Of what is written. Trained parameters hardly shrink; Lz4 costs little."
    )
    replication_factor: int | None = Field(
        default=None, ge=1, le=9, description="Copies of each new topic. Default: the cluster's own default."
    )
    min_insync_replicas: int | None = Field(
        default=None, ge=1, le=9, description="Copies that must have a record before it counts. Default: the cluster's."
    )
    in_flight_bytes: int = Field(
        default=16 << 20, ge=1 << 20, description="The most that waits in memory to be acknowledged, in bytes."
    )
    fetch_bytes: int = Field(
        default=4 << 20, ge=1 << 20, description="About how much one request fetches at most, in bytes."
    )
    connect_seconds: float = Field(
        default=4.0, gt=0, le=60, description="How long the cluster may take to answer at all, in seconds."
    )
    delivery_seconds: float = Field(
        default=120.0, ge=1, description="How long a write may be tried again while brokers are away, in seconds."
    )
    transaction_seconds: float = Field(
        default=300.0, ge=1, le=900, description="After so long the broker aborts a transaction left open, in seconds."
    )
    spool: Path | None = Field(
        default=None, description="A folder for payloads while they are needed. Default: the system's temporary one."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: give both or neither")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: give both or neither")
        if not self.tls and (self.ca or self.certificate or self.username):
            raise ValueError("ca, certificate and username need tls: true")
        if (self.proxy_username is None) != (self.proxy_password is None) or (self.proxy_username and not self.proxy):
            raise ValueError("proxyUsername and proxyPassword belong together, and to a proxy")
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file; relative paths in it are relative to its folder.

        Raises:
            LogError: it is missing, no JSON, or a field is wrong.
        """
        try:
            settings = cls.model_validate_json(path.read_bytes())
        except OSError as error:
            message = f"cannot read the Kafka settings in {path}: {error.strerror}."
            raise LogError(message, remedy="Correct the path.") from error
        except ValidationError as error:
            words = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            message = f"the Kafka settings in {path} are not valid: {words}."
            raise LogError(message, remedy="Correct the file.") from None
        return settings.relative_to(path.parent)

    def relative_to(self, folder: Path) -> Self:
        """The same, with every relative path taken from `folder`."""
        names = ("ca", "certificate", "key", "password", "proxy_password", "spool")
        given = {name: path for name in names if (path := getattr(self, name))}
        return self.model_copy(update={name: folder / path for name, path in given.items()})

    def save(self, path: Path) -> None:
        """Write the file that `load` reads, for its owner only."""
        text = self.model_dump_json(by_alias=True, exclude_defaults=True, indent=2)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text + "\n")

    @property
    def principal(self) -> str:
        """Whom the broker takes this party for, in words for an error message."""
        if self.username:
            return f"user {self.username}"
        return f"the holder of {self.certificate}" if self.certificate else "an anonymous client"

    @property
    def where(self) -> str:
        """The brokers, in words for an error message."""
        return ", ".join(self.bootstrap_servers)
