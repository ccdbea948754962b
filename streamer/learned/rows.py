"""What a row holds, what it costs, and whether it is as it was written.

Pure. A table that a flipped bit changed would make right content fail for ever, and one under
another's digest would prove wrong content; so each row has a checksum over all that it says.
"""

from __future__ import annotations

from blake3 import blake3

from streamer.learned.tables import VERSION
from streamer.pieces.table import Table

ROW_BYTES = 256
"""What a row costs beside its leaves: its digest (in an index too), the checksum, the pages."""

CHECKSUM_BYTES = 16


def cost(table: Table) -> int:
    """How much of the store's bound a table takes."""
    return ROW_BYTES + len(table.digests)


def checksum(digest: str, table: Table) -> bytes:
    """Of a row with this table under this digest."""
    head = f"{VERSION} {digest} {table.size} ".encode()
    return blake3(head).update(table.digests).digest(length=CHECKSUM_BYTES)


def checked(digest: str, size: int, leaves: bytes, written: bytes) -> Table | None:
    """The table that a row holds; None where its checksum, or its length, is another."""
    try:
        table = Table(size, leaves)
    except ValueError:
        return None
    return table if checksum(digest, table) == written else None
