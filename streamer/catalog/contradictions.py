"""What is wrong with the entries of one input, and on which line.

Separate from `publishing` because these are questions to the table, not steps. Entries come
checked one by one; what is found here only their store can know: a path that cannot be a key, a
path that is there already, two sizes of one digest. The database sorts, on disk where it must,
so that nothing of the input is kept in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from streamer.catalog.paths import is_storable
from streamer.catalog.tables import entries
from streamer.errors import EntryRejected
from streamer.model import Entry, PublicationId


def refuse_unstorable(batch: Sequence[Entry]) -> None:
    """Raise `EntryRejected` for the first path that cannot be a key."""
    for entry in batch:
        if not is_storable(entry.path):
            raise EntryRejected(entry.line, "the path holds control characters or is too long")


def duplicate(
    connection: Connection, publication: PublicationId, batch: Sequence[Entry]
) -> EntryRejected:
    """Name the first entry of a batch that was not stored, because its path was there already."""
    stored = connection.execute(
        select(entries.c.path, entries.c.line).where(
            entries.c.publication_id == publication,
            entries.c.path.in_([entry.path for entry in batch]),
        )
    )
    lines = {row.path: row.line for row in stored}
    wrong = next((entry for entry in batch if entry.line != lines[entry.path]), batch[-1])
    return EntryRejected(
        wrong.line, f"the path {wrong.path!r} is on line {lines[wrong.path]} already"
    )


def refuse_contradictions(connection: Connection, publication: PublicationId) -> None:
    """Raise `EntryRejected` where two entries promise one digest with different known sizes."""
    sized = (entries.c.publication_id == publication, entries.c.size.is_not(None))
    digest = connection.scalar(
        select(entries.c.digest)
        .where(*sized)
        .group_by(entries.c.digest)
        .having(func.min(entries.c.size) != func.max(entries.c.size))
        .order_by(func.min(entries.c.line))
        .limit(1)
    )
    if digest is None:
        return
    first, *others = connection.execute(
        select(entries.c.line, entries.c.size)
        .where(*sized, entries.c.digest == digest)
        .order_by(entries.c.line)
    )
    other = next(row for row in others if row.size != first.size)
    raise EntryRejected(
        other.line,
        f"{digest} has {other.size} bytes here and {first.size} bytes on line {first.line}",
    )
