"""Run the benchmarks, keep their figures in benchmarks/results.json, and write the tables of the docs anew.

    python -m benchmarks [NAME ...] [--peers DIR] [--work DIR]
    python -m benchmarks --tables

Without names, all of them: about an hour. Figures of those not run stay as they were.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import headline, results, tables, targets
from benchmarks.catalog import ALL, Benchmark
from benchmarks.options import progress
from benchmarks.results import Result, Results
from consilia.errors import ConsiliaError, RunError

ROOT = Path(__file__).parents[1]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = [benchmark.name for benchmark in ALL]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or several of: {', '.join(names)}")
    parser.add_argument(
        "--peers", type=Path, metavar="DIR", help="run NVFlare and Flower beside; see docs/benchmarks.md"
    )
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="keep trainings there, and go on with those begun there"
    )
    parser.add_argument("--tables", action="store_true", help="run nothing, only write the tables from results.json")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(names))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(names)}")
    return options


def measure(benchmark: Benchmark, peers: Path | None, work: Path | None) -> Result:
    """Run the command as a person would, and read its JSON line.

    Raises:
        RunError: it failed; what it complained about stands above.
    """
    command = [sys.executable, *benchmark.arguments(peers and peers.resolve(), work and work.resolve())]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RunError(f"{benchmark.name} ended with code {done.returncode}.")
    shown = benchmark.command(peers=peers is not None)
    return Result.now(shown, json.loads(done.stdout))


def run(wanted: Sequence[Benchmark], peers: Path | None, work: Path | None) -> list[str]:
    """One after the other, each kept and shown as soon as it is there; what went wrong."""
    failed = []
    for benchmark in wanted:
        progress(f"== {benchmark.name}: {benchmark.command(peers=peers is not None)}")
        try:
            result = measure(benchmark, peers, work)
        except ConsiliaError as error:
            failed.append(str(error))
            continue
        results.save(results.load() | {benchmark.name: result})
        write_tables(results.load())
    return failed


def write_tables(found: Results) -> None:
    """The tables of docs/benchmarks.md, and of README.md where it has a place for them."""
    rewrite(ROOT / "docs" / "benchmarks.md", docs_page(found))
    readme = ROOT / "README.md"
    if f"<!-- {headline.PLACE}:begin -->" not in readme.read_text(encoding="utf-8"):
        progress(f"README.md has no place for figures (<!-- {headline.PLACE}:begin -->): left as it is.")
        return
    rewrite(readme, headline.readme_page(found))


def docs_page(found: Results) -> tables.Page:
    """All places of docs/benchmarks.md."""
    ours = {targets.PLACE: targets.targets_table(found), targets.OPERATOR_PLACE: targets.operator_targets_table(found)}
    return {**tables.docs_page(found), **ours}


def rewrite(path: Path, page: tables.Page) -> None:
    """Fill the page's marked places."""
    path.write_text(tables.fill(path.read_text(encoding="utf-8"), page), encoding="utf-8")


def main() -> int:
    """Run what is wanted; 1 if something failed."""
    options = parse()
    wanted = [] if options.tables else [one for one in ALL if one.name in options.names or not options.names]
    failed = run(wanted, options.peers, options.work)
    if options.tables:
        write_tables(results.load())
    for words in failed:
        progress(f"error: {words}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
