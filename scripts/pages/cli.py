"""docs/reference/cli.md: every command, argument, option and exit code, from the console script itself."""

import argparse
import re
import typing
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from consilia.broker import __main__ as broker
from consilia_workers import model_command
from consilia_workers.cli.app import app
from scripts.pages.markdown import fenced, page, table

INTRODUCTION = """\
The console script is `consilia`. Every command takes `--help`; those with `--json` print JSON for scripts and nothing
else on standard output. Errors go to standard error, one message each, with the way out."""

Command = TyperCommand | TyperGroup
Parameter = TyperArgument | TyperOption

BROKER = """\
A real Kafka broker in the foreground, until Ctrl-C, to try `kafka://` with. It prints where it is. On its first port,
whoever is on this machine may do anything."""

MODEL = """\
A job's newest global model as a safetensors file, from where its aggregator runs. In a cluster:

```text
kubectl -n NAMESPACE exec deploy/JOB-aggregator -- consilia-model > model.safetensors
```

It reads the log and writes nothing there, so the job goes on undisturbed; the bytes are checked against what the
aggregator signed. Standard error says which round's model it is. To standard output the bytes go while they are
checked: believe them only if it ends with 0. Exit codes: 0 written, 1 it could not be, 2 wrong usage, 75 the log
cannot be reached, try again later."""

EXIT_CODES = """\
| Code | Meaning |
| --- | --- |
| 0 | It did what it was asked for. |
| 1 | It failed; the message says at what. |
| 2 | The command line or a file is not valid; nothing was run. |
| 130 | Interrupted by Ctrl-C. |"""


def cli_page() -> str:
    """The page."""
    command = typer.main.get_command(app)
    sections = (part for path, found in commands("consilia", command) for part in _section(path, found))
    return page("# Command line", INTRODUCTION, "## Exit codes", EXIT_CODES, *sections, *_module_sections())


def commands(path: str, command: Command) -> Iterator[tuple[str, Command]]:
    """The command and all below it, each with what is typed to reach it."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(f"{path} {name}", inner)


def _section(path: str, command: Command) -> Iterator[str]:
    yield f"## {path}"
    text, _, codes = (command.help or "").partition("Exit codes:")
    yield text.strip()
    yield fenced(_usage(path, command), "text")
    parameters = [parameter for parameter in command.params if parameter.name != "help"]
    hints = typing.get_type_hints(command.callback) if command.callback else {}
    arguments = [parameter for parameter in parameters if not is_option(parameter)]
    options = [parameter for parameter in parameters if is_option(parameter)]
    yield table(("Argument", "Type", "Meaning"), [_row(each, hints) for each in arguments])
    yield table(("Option", "Type", "Meaning"), [_row(each, hints) for each in options])
    if codes:
        yield f"Exit codes: {' '.join(codes.split())}"


def _module_sections() -> Iterator[str]:
    """Those that parse their command line themselves: without the extra `workers`, or quick to start."""
    yield from _parser_section(model_command.parser(), MODEL)
    yield from _parser_section(broker.parser(), BROKER)


def _parser_section(found: argparse.ArgumentParser, text: str) -> Iterator[str]:
    yield f"## {found.prog}"
    yield text
    yield fenced(f"{found.prog} [OPTIONS]", "text")
    options = [each for each in found._actions if each.dest != "help"]  # noqa: SLF001 (argparse lists them nowhere else)
    rows = [(f"`{each.option_strings[0]}`", _parser_type(each), (each.help or "") % vars(each)) for each in options]
    yield table(("Option", "Type", "Meaning"), rows)


def _parser_type(option: argparse.Action) -> str:
    if option.nargs == 0:
        return "flag"
    return "path" if option.type is Path else "whole number" if option.dest == "port" else "text"


def is_option(parameter: Parameter) -> bool:
    """Whether it is given by name."""
    return bool(parameter.opts[0].startswith("-"))


def _usage(path: str, command: Command) -> str:
    words = [path]
    if any(is_option(parameter) for parameter in command.params):
        words.append("[OPTIONS]")
    if isinstance(command, TyperGroup):
        return " ".join([*words, "COMMAND" if command.no_args_is_help else "[COMMAND]"])
    for parameter in command.params:
        if not is_option(parameter):
            name = parameter.name.upper() + ("..." if parameter.nargs != 1 else "")
            words.append(name if parameter.required else f"[{name}]")
    return " ".join(words)


def _row(parameter: Parameter, hints: dict[str, object]) -> tuple[str, str, str]:
    names = [*parameter.opts, *parameter.secondary_opts] if is_option(parameter) else [parameter.name.upper()]
    kind = _type(hints.get(parameter.name, str))
    default = "" if kind == "flag" or parameter.default is None else f" Default: `{_shown(parameter.default)}`."
    if parameter.secondary_opts:
        default = f" Default: `{parameter.opts[0] if parameter.default else parameter.secondary_opts[0]}`."
    return ", ".join(f"`{name}`" for name in names), kind, (parameter.help or "") + default


def _type(hint: object) -> str:
    inner = [each for each in typing.get_args(hint) if each is not type(None)]
    if typing.get_origin(hint) is list:
        return f"one or more {_type(inner[0])}s"
    if len(inner) == 1:
        return _type(inner[0])
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return "one of " + ", ".join(f"`{each}`" for each in hint)
    return {bool: "flag", int: "whole number", Path: "path", str: "text"}[hint]


def _shown(default: object) -> str:
    return re.sub(r"\s+", " ", str(default))
