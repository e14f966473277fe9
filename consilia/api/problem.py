"""What is wrong with an object of the API: where, by which rule, and what to do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    file: str = ""
    line: int = 0
    """Counted from 1; 0 where the object did not come from a file."""
    column: int = 0
    """Counted from 1; 0 where the object did not come from a file."""
    path: str = ""
    """Where in the object, such as `spec.rounds.count`."""
    value: str = ""
    """What stands there, shortened; empty where nothing stands there."""
    rule: str
    """Which rule is broken."""
    remedy: str
    """What to do, one imperative sentence."""

    def __str__(self) -> str:
        place = ":".join(part for part in (self.file, str(self.line or ""), str(self.column or "")) if part)
        subject = f"{self.path}: {self.value}" if self.path and self.value else self.path or self.value
        return f"{': '.join(part for part in (place, subject, self.rule) if part)}. {self.remedy}".strip()
