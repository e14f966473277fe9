"""An API server that is a dictionary: enough of Kubernetes for logic that only gets, lists, applies and deletes.

It knows what our code leans on: server-side apply drops what the same manager applied before and does not any more,
uids and generations, Secrets' `stringData` not at all, and that a StatefulSet's claims cannot change.
"""

import copy
import itertools

from consilia_operator import kinds
from consilia_operator.errors import ApiRefused

UNCHANGEABLE = {"StatefulSet": ("volumeClaimTemplates", "serviceName", "podManagementPolicy", "selector")}


class ApiServerInMemory:
    def __init__(self, serves=None):
        self._objects, self._applied = {}, {}
        self._numbers = itertools.count(1)
        self.serves = set(kinds._ALL.values()) if serves is None else set(serves)
        self.refuses = {}
        """By kind: the status with which it says that nobody may list them."""
        self.answers = {}
        """By kind's name: the error with which it answers whoever applies one."""
        self.calls = []

    async def get(self, kind, namespace, name):
        self.calls.append(("get", kind.kind, namespace, name))
        return copy.deepcopy(self._objects.get((kind.kind, namespace, name)))

    async def list(self, kind, namespace, selector=""):
        self.calls.append(("list", kind.kind, namespace, selector))
        if kind in self.refuses:
            raise ApiRefused(self.refuses[kind], f"may not list {kind.plural}")
        wanted = dict(each.split("=") for each in selector.split(",") if each)
        return [
            copy.deepcopy(found)
            for (what, where, _), found in sorted(self._objects.items())
            if what == kind.kind
            and namespace in ("", where)
            and wanted.items() <= found["metadata"].get("labels", {}).items()
        ]

    async def apply(self, document):
        key = self._key("apply", document)
        if document["kind"] in self.answers:
            raise self.answers[document["kind"]]
        there = self._objects.get(key)
        before = self._applied.get(key, {})
        after = _merged(_without(copy.deepcopy(there or {}), before, document), document)
        for field in UNCHANGEABLE.get(document["kind"], ()) if there else ():
            if after["spec"].get(field) != there["spec"].get(field):
                raise ApiRefused(422, f"{key}: spec.{field} may not change")
        self._applied[key] = copy.deepcopy(document)
        return self._store(key, after)

    async def create_once(self, document):
        key = self._key("create", document)
        return copy.deepcopy(self._objects[key]) if key in self._objects else self._store(key, document)

    async def delete(self, kind, namespace, name):
        self.calls.append(("delete", kind.kind, namespace, name))
        self._objects.pop((kind.kind, namespace, name), None)
        self._applied.pop((kind.kind, namespace, name), None)

    async def exists(self, kind):
        self.calls.append(("exists", kind.kind))
        return kind in self.serves

    def put(self, document):
        """What somebody else makes, or changes: status, too."""
        return self._store(
            (document["kind"], document["metadata"].get("namespace", ""), document["metadata"]["name"]), document
        )

    def there(self, kind, namespace, name):
        return copy.deepcopy(self._objects.get((kind.kind, namespace, name)))

    def every(self):
        return [copy.deepcopy(found) for found in self._objects.values()]

    def _key(self, verb, document):
        kind = kinds.of(document)
        metadata = document["metadata"]
        if kind not in self.serves:
            raise ApiRefused(404, f"no {kind.plural} here")
        self.calls.append((verb, kind.kind, metadata.get("namespace", ""), metadata["name"]))
        return kind.kind, metadata.get("namespace", ""), metadata["name"]

    def _store(self, key, document):
        after, there = copy.deepcopy(document), self._objects.get(key)
        metadata = after["metadata"]
        metadata["uid"] = there["metadata"]["uid"] if there else f"uid-{next(self._numbers)}"
        changed = there is None or there.get("spec") != after.get("spec")
        metadata["generation"] = (there["metadata"]["generation"] if there else 0) + changed
        metadata["resourceVersion"] = str(next(self._numbers))
        self._objects[key] = after
        return copy.deepcopy(after)


def _merged(old, new):
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: _merged(old.get(name), new[name]) if name in new else old[name] for name in {**old, **new}}
    return copy.deepcopy(new)


def _without(old, before, after):
    """Fields that were applied before and are not now."""
    for name in before:
        if name not in old:
            continue
        if name not in after:
            del old[name]
        elif isinstance(before[name], dict) and isinstance(after[name], dict) and isinstance(old[name], dict):
            _without(old[name], before[name], after[name])
    return old
