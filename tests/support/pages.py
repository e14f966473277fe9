"""The documentation as its readers meet it: pages, headings, links, tables, files to save and commands to type."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"^```(?P<language>[\w-]*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(
    r"(?<!!)\[[^\]]*\]\((?P<link>[^)\s]+)\)|!\[[^\]]*\]\((?P<image>[^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block."""

    language: str
    title: str | None
    """The name of the file that its text is to be saved as."""
    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command of a console block, and what the page says that it prints."""

    command: str
    output: tuple[str, ...]


def all_pages() -> list[Path]:
    """Every page that is kept true, the README first."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*top, *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """The page's path from the repository's root."""
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Without fenced blocks, whose contents are no Markdown."""
    return _FENCE.sub("", text_of(page))


def blocks_of(page: Path) -> Iterator[Block]:
    text = text_of(page)
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(language=found["language"], title=found["title"], text=found["text"], line=line)


def blocks_under(page: Path, heading: str) -> list[Block]:
    """The blocks of one section: from its heading to the next, whatever its level."""
    heads = [
        (text_of(page).count("\n", 0, found.start()) + 1, found[1])
        for found in re.finditer(r"^#+ (.+)$", _blanked(page), re.MULTILINE)
    ]
    begin = next(line for line, title in heads if title == heading)
    end = next((line for line, _ in heads if line > begin), sys.maxsize)
    return [block for block in blocks_of(page) if begin < block.line < end]


def _blanked(page: Path) -> str:
    """The page with every character of its fenced blocks a space: what is a comment there is no heading."""
    return _FENCE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text_of(page))


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    anchors: list[str] = []
    for heading in headings:
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = sum(
            other == anchor or re.fullmatch(rf"{re.escape(anchor)}-\d+", other) is not None for other in anchors
        )
        anchors.append(f"{anchor}-{count}" if count else anchor)
    return set(anchors)


def links_of(page: Path) -> list[str]:
    """The targets of all links and pictures, addresses of the web left out."""
    prose = re.sub(r"`[^`\n]+`", "", prose_of(page))
    found = [next(filter(None, groups)) for groups in _LINK.findall(prose)]
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def target_of(page: Path, link: str) -> tuple[Path, str]:
    """The file that a link of a page leads to, and the anchor in it."""
    path, _, anchor = link.partition("#")
    return (page.parent / path).resolve() if path else page, anchor


def steps_of(block: Block) -> list[Step]:
    """A console block's commands; one that reads `<<WORD` goes on until a line that is WORD."""
    steps: list[Step] = []
    lines = iter(block.text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line.removeprefix("$ ")
            if here := re.search(r"<<(\w+)$", command):
                for more in lines:
                    command += f"\n{more}"
                    if more == here[1]:
                        break
            steps.append(Step(command=command, output=()))
        else:
            last = steps.pop()
            steps.append(Step(command=last.command, output=(*last.output, line)))
    return steps


def table_under(page: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = re.split(r"^#+ ", prose_of(page).split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]
