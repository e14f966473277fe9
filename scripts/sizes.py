"""Keep functions and files short: `python scripts/sizes.py [ROOT]`, part of `make check`.

No function over 60 lines, nine of ten within 30, half of them under 10; no file over 400 lines. A function counts from
its `def` to its last line without its docstring: explaining is never punished. There is no list of exceptions.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

CODE = ("consilia", "operator", "workers", "benchmarks", "scripts")
TESTS = ("tests",)
"""Only their files are measured: a table of cases may be long."""

LONGEST_FUNCTION, P90_FUNCTION, MEDIAN_FUNCTION, LONGEST_FILE = 60, 30, 10, 400

WAY_OUT = """\
A long function tells several stories: name each step and move it into a function of its own, the caller stays a list of
verbs. A long file holds several subjects: give each a module and list it in CONTRIBUTING.md's map."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One function or file and its number of lines."""

    place: str
    lines: int


def python_files(root: Path, folders: Sequence[str]) -> list[Path]:
    """All Python files below the folders, sorted."""
    return sorted(path for folder in folders for path in (root / folder).rglob("*.py"))


def measure_file(path: Path, root: Path) -> Measured:
    """The file's lines."""
    return Measured(str(path.relative_to(root)), len(path.read_text(encoding="utf-8").splitlines()))


def measure_functions(path: Path, root: Path) -> Iterator[Measured]:
    """Every function and method of a file, inner ones too."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Measured(f"{path.relative_to(root)}:{node.lineno} {node.name}", function_lines(node))


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None and first.lineno > node.lineno:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def complaints(functions: Sequence[Measured], files: Sequence[Measured]) -> list[str]:
    """What breaks a rule, the longest first."""
    found = [
        f"{item.place}: {item.lines} lines, at most {most}"
        for items, most in ((functions, LONGEST_FUNCTION), (files, LONGEST_FILE))
        for item in by_length(items)
        if item.lines > most
    ]
    half, ninety = spread(functions)
    if ninety > P90_FUNCTION:
        found.append(f"one function in ten has {ninety} lines or more, and should have at most {P90_FUNCTION}:")
        found += [f"  {item.place}: {item.lines}" for item in by_length(functions)[:10]]
    if half >= MEDIAN_FUNCTION:
        found.append(f"the median function has {half:g} lines, and should have fewer than {MEDIAN_FUNCTION}")
    return found


def by_length(items: Sequence[Measured]) -> list[Measured]:
    """The longest first."""
    return sorted(items, key=lambda item: -item.lines)


def spread(functions: Sequence[Measured]) -> tuple[float, int]:
    """The median of the functions' lines, and the length that nine of ten keep within."""
    lines = sorted(item.lines for item in functions)
    return median(lines), lines[(9 * len(lines) - 1) // 10]


def longest(items: Sequence[Measured]) -> int:
    """The most lines of any."""
    return by_length(items)[0].lines


def main(root: Path) -> int:
    """Print the sizes and the offenders; 1 if there are any, or nothing to measure."""
    code = python_files(root, CODE)
    functions = [function for path in code for function in measure_functions(path, root)]
    files = [measure_file(path, root) for path in code + python_files(root, TESTS)]
    if not functions:
        print(f"no functions below {root}: is it the repository's root?", file=sys.stderr)
        return 1
    half, ninety = spread(functions)
    print(f"{len(functions)} functions: median {half:.0f}, p90 {ninety}, at most {longest(functions)} lines")
    print(f"{len(files)} files: at most {longest(files)} lines")
    found = complaints(functions, files)
    if found:
        print("\n".join([*found, WAY_OUT]), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
