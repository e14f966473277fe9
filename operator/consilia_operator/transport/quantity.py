"""Amounts of bytes as Kubernetes writes them."""

import re
from decimal import Decimal

from consilia.errors import ManifestError

_UNITS = {
    unit: base**power
    for base, units in ((1000, ("k", "M", "G", "T", "P", "E")), (1024, ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")))
    for power, unit in enumerate(units, start=1)
}
_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)(?:([KMGTPE]i|[kMGTPE])|[eE]\+?(\d{1,2}))?", re.ASCII)


def in_bytes(quantity: str) -> int:
    """`10Gi` as a number, rounded down.

    Raises:
        ManifestError: it is no such amount.
    """
    if not (found := _QUANTITY.fullmatch(quantity)):
        raise ManifestError(f"{quantity!r} is no amount of bytes.", remedy="Write one as Kubernetes does, as in 10Gi.")
    number, unit, exponent = found.groups()
    return int(Decimal(number) * (10 ** int(exponent) if exponent else _UNITS.get(unit, 1)))
