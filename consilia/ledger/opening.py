"""Open the ledger that an address names."""

from pathlib import Path
from urllib.parse import unquote

from consilia.errors import LedgerError
from consilia.ledger.interface import PrivacyLedger
from consilia.ledger.ledger import Ledger
from consilia.ledger.remote import RemoteLedger
from consilia.wire.identity import Identity


def open_ledger(address: str, identity: Identity) -> PrivacyLedger:
    """Open a ledger by its address.

    Args:
        address: `file:///path/of/a/folder`, the path absolute, `%20` for a space; or `http://host:port`, which is asked
            nothing yet.
        identity: the hospital's.

    Raises:
        LedgerError: no such kind of ledger; or the file was changed, or another key signs it.
    """
    scheme, _, rest = address.partition("://")
    match scheme:
        case "file":
            return Ledger(_folder(address, rest), identity)
        case "http":
            return RemoteLedger(address, identity)
        case "https":
            message = f"{address!r}: a ledger is not asked over TLS; all that is said is signed."
            raise LedgerError(message, remedy="Write http://host:port.")
        case _:
            remedy = "Write file:///path/of/a/folder, or http://host:port."
            raise LedgerError(f"{address!r} names no ledger.", remedy=remedy)


def _folder(address: str, rest: str) -> Path:
    path = unquote(rest)
    if not rest.startswith("/") or not path.strip("/") or set(rest) & set("?#") or "\0" in path:
        raise LedgerError(f"{address!r} names no folder.", remedy="Write file:///path/of/a/folder, three slashes.")
    return Path(path)
