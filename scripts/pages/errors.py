"""docs/reference/errors.md: every error and every refusal, from consilia/errors.py."""

from collections.abc import Iterator

from consilia.errors import Objection, Refusal
from scripts.pages.markdown import fenced, page, table
from scripts.pages.sources import Class, Module, read_module

INTRODUCTION = """\
Everything that Consilia raises on purpose is a `consilia.errors.ConsiliaError`. Its message says what happened and to
which object; `remedy` is the way out. Anything else that is raised is a bug, in Consilia or in a task.

At the command line an error ends `consilia` with exit code 1, a `ManifestError` with 2. A job that fails gives the kind
of error, without the word Error, as its reason."""

REFUSALS = """\
A message that breaks a rule is refused, and nothing else is lost: its sender may send another, and the round goes on by
its rules. The aggregator records it with the round: it stands in [RoundClosed](messages.md#roundclosed) and in the
[report](../guides/read-the-report.md#hospitals). Where the aggregator's own messages or models break a rule, the
hospital refuses them and leaves the job."""

OBJECTIONS = """\
What hub and hospital write to each other ([letters](../concepts/many-clusters.md#letters)) is believed or not; what is
not changes nothing. The hospital keeps the last ones in its ConfigMap `consilia-heard`, with their messages."""


def errors_page() -> str:
    """The page."""
    source = read_module("consilia/errors.py")
    tree = fenced(_tree(source), "text")
    return page("# Errors", INTRODUCTION, tree, *_classes(source), *_refusals(source), *_objections(source))


def _tree(source: Module) -> str:
    lines = source.doc.splitlines()
    return "\n".join(line for line in lines if line.startswith(("ConsiliaError", "├", "│", "└", "    └")))


def _classes(source: Module) -> Iterator[str]:
    reasons = {Refusal.__name__, Objection.__name__}
    errors = [each for each in source.classes if each.name not in reasons]
    for each in errors:
        yield f"## {each.name}"
        yield each.doc
        yield _kind(each)


def _kind(error: Class) -> str:
    return f"A [{error.bases[0]}](#{error.bases[0].lower()})." if error.bases[0] != "Exception" else ""


def _refusals(source: Module) -> Iterator[str]:
    yield "## Refusals"
    yield REFUSALS
    found = source.class_named(Refusal.__name__).attributes
    yield table(("Reason", "Meaning"), ((f"`{Refusal[each.name].value}`", each.doc) for each in found))


def _objections(source: Module) -> Iterator[str]:
    yield "## Objections"
    yield OBJECTIONS
    found = source.class_named(Objection.__name__).attributes
    yield table(("Reason", "Meaning"), ((f"`{Objection[each.name].value}`", each.doc) for each in found))
