"""Draw our dashboards with what a Prometheus has: `python -m scripts.dashboards.pictures URL FOLDER`."""

import argparse
import sys
import time
from pathlib import Path

from scripts.dashboards.answers import Span, answers
from scripts.dashboards.drawing import draw
from scripts.dashboards.federation import FEDERATION
from scripts.dashboards.privacy import PRIVACY


def pictures(url: str, folder: Path, span: Span, *, window: str, rows: frozenset[str] = frozenset()) -> list[Path]:
    """Write a picture of each dashboard, of all rows or of those with these titles; gives their paths.

    Raises:
        OSError: that Prometheus cannot be reached, or the folder not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for dashboard in (FEDERATION, PRIVACY):
        panels = [panel for row in dashboard.rows if not rows or row.title in rows for panel in row.panels]
        answered = {panel.title: answers(url, panel, span, window) for panel in panels}
        path = folder / f"dashboard-{dashboard.uid.removeprefix('consilia-')}.png"
        draw(dashboard, answered, span, path)
        written.append(path)
    return written


def main() -> int:
    """0 when the pictures are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="where Prometheus is, such as http://127.0.0.1:9090")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--minutes", type=float, default=30, help="how much of the past to show")
    parser.add_argument("--window", default="1m", help="the span over which rates are taken")
    asked = parser.parse_args()
    now = time.time()
    for path in pictures(asked.url, asked.folder, Span(now - 60 * asked.minutes, now), window=asked.window):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
