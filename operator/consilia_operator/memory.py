"""What cannot change while an object lives: read once, and forgotten with the object."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Memory:
    """By the object's uid, and what of it."""

    _known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def recall(self, uid: str, what: str) -> Any:  # noqa: ANN401
        """What was kept; None if nothing was."""
        return self._known.get(uid, {}).get(what)

    def keep(self, uid: str, what: str, value: T) -> T:
        """Keep it, and give it back."""
        self._known.setdefault(uid, {})[what] = value
        return value

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._known.pop(uid, None)
