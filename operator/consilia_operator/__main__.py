"""`python -m consilia_operator --settings FILE`: the operator, until SIGTERM.

Exit codes: 0 it was told to stop, 1 its settings are wrong, 75 another operator has taken over or the API server cannot
be reached.
"""

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from consilia.errors import ConsiliaError, FencedError, TemporaryError
from consilia_operator.run import Place, run
from consilia_operator.settings import OperatorSettings

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line, for whoever collects logs."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def main() -> int:
    """Run the operator."""
    parser = argparse.ArgumentParser(prog="python -m consilia_operator", description="The Consilia operator.")
    parser.add_argument("--settings", type=Path, required=True, help="the JSON file that the chart writes")
    arguments = parser.parse_args()
    try:
        settings = OperatorSettings.load(arguments.settings)
        _start_logging(settings)
        with suppress(asyncio.CancelledError):  # told to stop before there was anything to stop
            asyncio.run(run(settings, _place()))
    except (FencedError, TemporaryError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return os.EX_TEMPFAIL
    except ConsiliaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _place() -> Place:
    """As the downward API tells; on a developer's machine, the namespace default."""
    return Place(
        namespace=os.environ.get("POD_NAMESPACE", "default"), pod=os.environ.get("POD_NAME", socket.gethostname())
    )


def _start_logging(settings: OperatorSettings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "Json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
