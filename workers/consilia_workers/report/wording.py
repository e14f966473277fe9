"""Numbers and names as people read them."""

from collections.abc import Mapping, Sequence

from consilia_workers.report.comparison import Spread

ABSENT = "—"
MINUS = "\N{MINUS SIGN}"
NO_BREAK = "\N{NO-BREAK SPACE}"

_METRICS: Mapping[str, str] = {
    "auc": "AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "macro_f1": "macro F1",
}

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def printable(text: str) -> str:
    """Without control characters, escape sequences and changes of writing direction."""
    return "".join(character if character.isprintable() else "�" for character in text)


def metric(name: str) -> str:
    """A metric as people write it; one that a task brought along keeps its name."""
    return _METRICS.get(name, printable(name))


def short(text: str, length: int) -> str:
    """Cut to so many characters, with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def number(value: float) -> str:
    """A metric: three decimals for what lies between 0 and 1, four significant digits for what is large."""
    text = f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"
    return "0.000" if text == "-0.000" else text.replace("-", MINUS)


def signed(value: float) -> str:
    """A difference, with its sign unless it is nought."""
    text = number(value)
    return text if text == "0.000" or text.startswith(MINUS) else f"+{text}"


def spread(figure: Spread | None) -> str:
    """Mean ± standard deviation, not to be broken over two lines; or a dash."""
    if figure is None:
        return ABSENT
    return number(figure.mean) + _deviation(figure)


def difference(figure: Spread | None) -> str:
    """The same with a sign."""
    if figure is None:
        return ABSENT
    return signed(figure.mean) + _deviation(figure)


def _deviation(figure: Spread) -> str:
    return "" if figure.deviation is None else f"{NO_BREAK}±{NO_BREAK}{number(figure.deviation)}"


def duration(seconds: float) -> str:
    """In the unit that fits."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def size(count: float) -> str:
    """Bytes in decimal units."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= 0.9995 * factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} B"


def counted(count: int, noun: str) -> str:
    """`1 round`, `2,000 rounds`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def in_words(count: int, noun: str) -> str:
    """`three hospitals`: the number as a word where that is usual."""
    word = _NUMBERS[count] if count < len(_NUMBERS) else f"{count:,}"
    return f"{word} {noun}" if count == 1 else f"{word} {noun}s"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1] if names else "") if part)


def capital(sentence: str) -> str:
    """With a large first letter, the rest as it is."""
    return sentence[:1].upper() + sentence[1:]
