"""Access rules, and what came of trying them, for people at a terminal."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from consilia.kafka.acl_difference import Difference
from consilia.kafka.acl_formats import by_resource
from consilia.kafka.acls import AclRule, Pattern, Resource
from consilia.kafka.rights import Checked, Tried


def print_rules(rules: Iterable[AclRule]) -> None:
    """Principal by principal and thing by thing, what may be done and why."""
    console, last = _console(), ""
    for principal, resource, found in by_resource(rules):
        if principal != last:
            console.print(Text(principal, "bold"))
        last = principal
        console.print(Text(f"  {_thing(resource)}", "cyan"))
        for rule in found:
            console.print(Text(f"    {rule.operation:<15}  {rule.why}"))


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False)


def _thing(resource: Resource) -> str:
    return f"{resource.kind} {resource.name}{'*' if resource.pattern is Pattern.PREFIXED else ''}"


def print_difference(found: Difference, *, added: bool, removed: bool) -> None:
    """What was done, what could be done, and what is nobody's business but should be known."""
    console = _console()
    for rule in found.missing:
        console.print(Text(f"+ {_sentence(rule)}", "green"))
    for rule in found.stale:
        console.print(Text(f"{'-' if removed else '?'} {_sentence(rule)}", "red" if removed else "yellow"))
    for binding in found.others:
        console.print(Text(f"! {binding.words()}", "yellow"))
    console.print(Text(_summary(found, added=added, removed=removed)))


def print_revoked(revoked: Sequence[AclRule]) -> None:
    """What was taken away."""
    console = _console()
    for rule in revoked:
        console.print(Text(f"- {_sentence(rule)}", "red"))
    console.print(Text(f"{len(revoked)} removed. What hospitals need for any job, they keep."))


def _sentence(rule: AclRule) -> str:
    return f"{rule.principal} may {rule.operation} {_thing(rule.resource)}"


def _summary(found: Difference, *, added: bool, removed: bool) -> str:
    parts = [
        f"{len(found.present)} there",
        f"{len(found.missing)} {'added' if added else 'missing'}",
        f"{len(found.stale)} {'removed' if removed else 'no longer needed (?): --apply prune removes them'}",
    ]
    others = f"{len(found.others)} of others reach this job (!): remove by hand what should not be"
    kept = [part for part in parts if not part.startswith("0 ") or "there" in part]
    return "; ".join([*kept, *([others] if found.others else [])]) + "."


def print_checked(checked: Checked, *, where: str, who: str) -> None:
    """A line for each thing that was tried, and the verdict."""
    console = _console()
    console.print(Text(f"Kafka {checked.version} at {where} answers {who}."))
    if not checked.authorizer:
        console.print(Text("It has no authorizer: everybody may do everything there.", "bold red"))
    for (kind, name), found in groupby(checked.tried, key=lambda each: (each.right.kind, each.right.name)):
        console.print(_line(f"{kind} {name}", list(found)))
    if checked.tried:
        wrong = sum(not each.passed for each in checked.tried)
        console.print(Text(f"{len(checked.tried)} rights tried, {wrong} wrong.", "bold red" if wrong else "green"))


def _line(thing: str, tried: Sequence[Tried]) -> Text:
    may = [each for each in tried if each.may]
    missing = [each for each in tried if each.right.wanted and not each.may]
    surplus = [each for each in may if not each.right.wanted]
    text = Text.assemble(("wrong", "bold red") if missing or surplus else ("ok   ", "green"))
    text.append(f"  {thing}: may {_operations(may) or 'nothing'}")
    if missing:
        text.append(f"; needs {_operations(missing)}", "red")
    if surplus:
        text.append(f"; must not {_operations(surplus)}", "red")
    return text


def _operations(tried: Iterable[Tried]) -> str:
    return ", ".join(each.right.operation for each in tried)
