"""Access rules in the forms that others apply: Kafka's own tool, Strimzi, and JSON."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import yaml

from consilia.errors import LogError
from consilia.kafka.acls import AclRule, Kind, Pattern, Resource

_FLAGS: Mapping[Kind, str] = {
    Kind.TOPIC: "--topic",
    Kind.GROUP: "--group",
    Kind.TRANSACTIONAL_ID: "--transactional-id",
}
_STRIMZI_KINDS: Mapping[Kind, str] = {
    Kind.TOPIC: "topic",
    Kind.GROUP: "group",
    Kind.TRANSACTIONAL_ID: "transactionalId",
}
_STRIMZI_NAME = re.compile(r"User:(CN=)?([a-z0-9]([-a-z0-9.]*[a-z0-9])?)")


def by_resource(rules: Iterable[AclRule]) -> Iterator[tuple[str, Resource, Sequence[AclRule]]]:
    """The rules of each principal on each resource, in the order of the list."""
    for (principal, resource), found in groupby(rules, key=lambda rule: (rule.principal, rule.resource)):
        yield principal, resource, list(found)


def as_commands(rules: Iterable[AclRule], *, servers: str) -> str:
    """Lines for a shell: `kafka-acls.sh` for each principal and resource, the reasons above it.

    The rights of whoever runs them come from a file `admin.properties`. `servers` are the brokers, as host:port.
    """
    return "\n".join(line for group in by_resource(rules) for line in _command(*group, servers=servers)) + "\n"


def _command(principal: str, resource: Resource, rules: Sequence[AclRule], *, servers: str) -> Iterator[str]:
    for rule in rules:
        yield f"# {rule.operation}: {rule.why}"
    words = ["kafka-acls.sh", "--bootstrap-server", servers, "--command-config", "admin.properties"]
    words += ["--add", "--allow-principal", principal]
    words += [word for rule in rules for word in ("--operation", rule.operation)]
    words += [_FLAGS[resource.kind], resource.name, "--resource-pattern-type", resource.pattern.lower()]
    yield shlex.join(words)


def as_strimzi(rules: Iterable[AclRule], *, cluster: str) -> str:
    """A KafkaUser for each principal, in YAML, for the Strimzi operator (`kafka.strimzi.io/v1`).

    Strimzi makes the principal from the user's name: `User:CN=NAME` where it logs in with a certificate that Strimzi
    issues, `User:NAME` where it logs in with a password. `cluster` is the name of the `Kafka` resource.

    Raises:
        LogError: a principal is not of one of these forms, or two have the same name.
    """
    return yaml.safe_dump_all(strimzi_users(rules, cluster=cluster), sort_keys=False, width=120)


def strimzi_users(rules: Iterable[AclRule], *, cluster: str) -> list[dict[str, Any]]:
    """The same as documents.

    Raises:
        LogError: a principal is not of one of these forms, or two have the same name.
    """
    users: dict[str, dict[str, Any]] = {}
    for principal, found in groupby(rules, lambda rule: rule.principal):
        name, by_certificate = _strimzi_name(principal)
        if name in users:
            message = f"Strimzi has one user {name}, and two principals are called so."
            raise LogError(message, remedy="Give each party a name of its own.")
        users[name] = _user(name, list(found), cluster, by_certificate=by_certificate)
    return list(users.values())


def _strimzi_name(principal: str) -> tuple[str, bool]:
    """The name of the KafkaUser, and whether it logs in with a certificate."""
    found = _STRIMZI_NAME.fullmatch(principal)
    if not found:
        message = f"Strimzi gives no user the principal {principal!r}."
        raise LogError(message, remedy="Write User:CN=NAME or User:NAME, the name in lower case as Kubernetes has it.")
    return found[2], bool(found[1])


def _user(name: str, rules: Sequence[AclRule], cluster: str, *, by_certificate: bool) -> dict[str, Any]:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaUser",
        "metadata": {"name": name, "labels": {"strimzi.io/cluster": cluster}},
        "spec": {
            "authentication": {"type": "tls" if by_certificate else "scram-sha-512"},
            "authorization": {"type": "simple", "acls": [_acl(*group) for group in by_resource(rules)]},
        },
    }


def _acl(_: str, resource: Resource, rules: Sequence[AclRule]) -> dict[str, object]:
    pattern = "prefix" if resource.pattern is Pattern.PREFIXED else "literal"
    return {
        "resource": {"type": _STRIMZI_KINDS[resource.kind], "name": resource.name, "patternType": pattern},
        "operations": [str(rule.operation) for rule in rules],
    }


def as_data(rules: Iterable[AclRule]) -> list[dict[str, str]]:
    """One object a rule, for JSON."""
    return [
        {
            "principal": rule.principal,
            "operation": rule.operation,
            "resourceType": rule.resource.kind,
            "resourceName": rule.resource.name,
            "patternType": rule.resource.pattern,
            "why": rule.why,
        }
        for rule in rules
    ]
