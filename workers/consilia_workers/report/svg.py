"""From a matplotlib figure to a piece of SVG that belongs into a page: its colours and its type come from the page."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS: Mapping[str, str] = {
    "#010101": "var(--ink)",
    "#020202": "var(--faint)",
    "#030303": "var(--rule)",
    "#040404": "var(--paper)",
    "#050505": "var(--alone)",
    "#060606": "var(--federated)",
    "#070707": "var(--pooled)",
    "#080808": "var(--train)",
    "#090909": "var(--aggregate)",
    "#0a0a0a": "var(--rest)",
}
"""What stands for a colour in a figure, and the page's name for it: light, dark and print differ only in the page."""

INK, FAINT, RULE, PAPER, ALONE, FEDERATED, POOLED, TRAIN, AGGREGATE, REST = COLOURS

FONT_SIZE = 13.0
"""In the page's pixels, as long as the figure is shown at its own width."""

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": FAINT,
    "axes.linewidth": 1.0,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 72,
    "figure.facecolor": "none",
    "font.size": FONT_SIZE,
    "grid.color": RULE,
    "grid.linewidth": 1.0,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a dollar sign
    "xtick.color": FAINT,
    "xtick.major.size": 0,
    "ytick.color": FAINT,
    "ytick.major.size": 0,
}


@contextmanager
def drawing() -> Iterator[None]:
    """The look of all figures, while they are made and while they are written."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The page's own fonts set the text; that matplotlib's lack a letter matters not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def as_svg(figure: Figure, *, key: str, label: str, kind: str) -> str:
    """One `<svg>` element: the same bytes for the same figure.

    Args:
        figure: made under `drawing`.
        key: begins every id, so that the figures of one page do not collide.
        label: what the figure says, for who cannot see it.
        kind: the CSS class.
    """
    file = BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": key}):
        figure.savefig(file, format="svg", metadata=nothing)
    root = ET.fromstring(file.getvalue())  # noqa: S314 (written by matplotlib one line above)
    for element in root.iter():
        _settle(element, key)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": label, "class": kind}
    return ET.tostring(root, encoding="unicode")


def _settle(element: ET.Element, key: str) -> None:
    """Plain names instead of namespaces, ids of its own, the page's colours and fonts."""
    element.tag = element.tag.rpartition("}")[2]
    attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    element.attrib.clear()
    for name, value in attributes.items():
        element.set(name, _settled(name, value, key))


def _settled(name: str, value: str, key: str) -> str:
    if name == "id":
        return f"{key}-{value}"
    if name == "href":
        return f"#{key}-{value.removeprefix('#')}"
    if name == "clip-path":
        return value.replace("url(#", f"url(#{key}-")
    if name == "style":
        value = re.sub(r"font: (?:[a-z]+ |\d+ )?([\d.]+)px [^;]*", r"font-size: \1px", value)
        return re.sub(r"#[0-9a-f]{6}", lambda match: COLOURS.get(match[0], match[0]), value)
    return value
