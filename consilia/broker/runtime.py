"""What runs Kafka: a Java, the jars, and how a Java process of Kafka's is called."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from consilia.broker.jars import KAFKA, Progress, cache_folder, jars, silent
from consilia.broker.java import java

LOGGING = "log4j2.properties"
_LOGGING = """\
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jvm:
    """How much a Java process may take."""

    heap: str = "256m"
    """As Java's -Xmx understands it."""
    short_lived: bool = False
    """Compile fast, not well (C1 only): starts in half the processor time. What a broker does in plain text is mostly
    the operating system's work, and costs a fifth less so; TLS is several times slower for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A Java that is new enough, and Kafka's jars, checked."""

    java: Path
    jars: tuple[Path, ...]
    template: Path
    """Where a formatted data folder is kept, to be copied."""

    @classmethod
    def find(cls, progress: Progress = silent) -> Self:
        """Find Java, and fetch the jars unless the cache has them.

        Raises:
            BrokerError: one of them cannot be had.
        """
        found, cache = java(), cache_folder()
        return cls(java=found, jars=jars(cache / f"kafka-{KAFKA}", progress), template=cache / f"template-{KAFKA}")

    def command(self, folder: Path, main: str, *arguments: str, jvm: Jvm) -> list[str]:
        """The command line that runs a class of Kafka's in `folder`, where its temporary files come to lie, too."""
        temporary = folder / "tmp"
        temporary.mkdir(exist_ok=True)
        (folder / LOGGING).write_text(_LOGGING)
        return [
            str(self.java),
            *_options(jvm),
            f"-Djava.io.tmpdir={temporary}",
            f"-Dlog4j2.configurationFile={LOGGING}",
            "-cp",
            ":".join(map(str, self.jars)),
            main,
            *arguments,
        ]


def _options(jvm: Jvm) -> list[str]:
    return [
        f"-Xmx{jvm.heap}",
        "-XX:+UseSerialGC",  # the others want threads and memory of their own
        "-XX:+ExitOnOutOfMemoryError",  # a broker without memory must not linger
        "-XX:-UsePerfData",
        "-XX:TieredStopAtLevel=" + ("1" if jvm.short_lived else "4"),
        # Else each I/O thread keeps a direct buffer as big as the largest message it wrote, and a small heap fails.
        "-Djdk.nio.maxCachedBufferSize=1048576",
        "-Djava.awt.headless=true",
        # A pod that is started again has another address, and one that just starts has none yet: look anew soon.
        "-Dsun.net.inetaddr.ttl=5",
        "-Dsun.net.inetaddr.negative.ttl=1",
    ]
