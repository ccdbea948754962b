"""Getting rid of publications: which may go, and how their rows go without blocking anybody.

Separate from publishing, which only calls `trim`. A publication is first marked as deleted, in
one short transaction in which it also lets go of its importers; from then on nobody sees it. Its
rows go in batches after that. A crash in between leaves a marked publication, which `prune`
clears away like those that were abandoned while they were built.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from streamer.catalog.database import Database
from streamer.catalog.inventory import all_distributions, lock_distribution, publications_of
from streamer.catalog.records import PruneCounts, PublicationInfo
from streamer.catalog.tables import (
    entries,
    held_slices,
    publication_importers,
    publications,
    withdrawn_paths,
)
from streamer.errors import OperationRefused
from streamer.model import PublicationId

UNFINISHED_AGE_SECONDS = 6 * 3600.0
"""A publisher touches its draft with every batch; only its input can make it pause so long."""

ENTRIES_PER_TRANSACTION = 10_000
SLICES_PER_TRANSACTION = 64


def prune(
    database: Database, *, unfinished_age_seconds: float, keep: int, now: float
) -> PruneCounts:
    """Remove what is abandoned, what is beyond retention and grace, and what deletions left."""
    with database.writing() as connection:
        leftovers = _count_deleted(connection)
        unfinished = abandon(connection, publications.c.touched_at < now - unfinished_age_seconds)
        base_paths = [info.base_path for info in all_distributions(connection) if info.current]
    superseded = sum(_mark_superfluous(database, base_path, keep, now) for base_path in base_paths)
    entry_count = clear_deleted(database)
    with database.writing() as connection:
        withdrawals = _forget_withdrawals(connection)
    return PruneCounts(unfinished, superseded, leftovers, entry_count, withdrawals)


def trim(database: Database, base_path: str, keep: int, now: float) -> None:
    """Delete what a distribution keeps neither by number nor by grace."""
    if _mark_superfluous(database, base_path, keep, now):
        clear_deleted(database)


def superfluous(kept: Sequence[PublicationInfo], keep: int, now: float) -> list[PublicationId]:
    """Decide which publications of one distribution may go; the current one never does."""
    others = [info for info in kept if not info.is_current]
    return [info.id for info in others[max(keep - 1, 0) :] if (info.grace_until or 0) <= now]


def mark_deleted(connection: Connection, gone: Sequence[PublicationId]) -> None:
    """Take publications out of everybody's sight; their rows follow with `clear_deleted`."""
    connection.execute(
        update(publications).where(publications.c.id.in_(gone)).values(state="deleted", number=None)
    )
    connection.execute(
        delete(publication_importers).where(publication_importers.c.publication_id.in_(gone))
    )


def abandon(connection: Connection, wanted: ColumnElement[bool]) -> int:
    """Delete publications that are still being built; one that has just been published stays."""
    gone = connection.scalars(
        update(publications)
        .where(publications.c.state == "building", wanted)
        .values(state="deleted")
        .returning(publications.c.id)
    ).all()
    mark_deleted(connection, gone)
    return len(gone)


def clear_deleted(database: Database) -> int:
    """Remove the rows of deleted publications, a batch at a time, and return how many entries."""
    with database.reading() as connection:
        gone = connection.scalars(
            select(publications.c.id).where(publications.c.state == "deleted")
        ).all()
    return sum(_clear(database, publication) for publication in gone)


def _clear(database: Database, publication: PublicationId) -> int:
    count = 0
    while removed := _clear_entries(database, publication):
        count += removed
    while _clear_slices(database, publication):
        pass
    with database.writing() as connection:
        connection.execute(delete(publications).where(publications.c.id == publication))
    return count


def _clear_entries(database: Database, publication: PublicationId) -> int:
    """Remove the first entries by path: a range of the key, which both databases find at once."""
    of_it = entries.c.publication_id == publication
    with database.writing() as connection:
        last = connection.scalar(
            select(entries.c.path)
            .where(of_it)
            .order_by(entries.c.path)
            .offset(ENTRIES_PER_TRANSACTION - 1)
            .limit(1)
        )
        statement = delete(entries).where(of_it)
        if last is not None:
            statement = statement.where(entries.c.path <= last)
        return connection.execute(statement).rowcount


def _clear_slices(database: Database, publication: PublicationId) -> int:
    slices = held_slices.c
    with database.writing() as connection:
        first = connection.execute(
            select(slices.digest, slices.position)
            .where(slices.publication_id == publication)
            .order_by(slices.digest, slices.position)
            .limit(SLICES_PER_TRANSACTION)
        ).all()
        for digest, position in first:
            connection.execute(
                delete(held_slices).where(
                    slices.publication_id == publication,
                    slices.digest == digest,
                    slices.position == position,
                )
            )
    return len(first)


def _mark_superfluous(database: Database, base_path: str, keep: int, now: float) -> int:
    with database.writing() as connection:
        try:
            lock_distribution(connection, base_path)
            kept = publications_of(connection, base_path)
        except OperationRefused:
            return 0  # somebody deleted it meanwhile
        gone = superfluous(kept, keep, now)
        mark_deleted(connection, gone)
    return len(gone)


def _count_deleted(connection: Connection) -> int:
    query = select(func.count()).where(publications.c.state == "deleted")
    return connection.scalar(query) or 0


def _forget_withdrawals(connection: Connection) -> int:
    """Remove withdrawals of paths that hold for no publication any more."""
    oldest_kept = (
        select(func.min(publications.c.number))
        .where(
            publications.c.base_path == withdrawn_paths.c.base_path,
            publications.c.state == "published",
        )
        .scalar_subquery()
    )
    return connection.execute(
        delete(withdrawn_paths).where(withdrawn_paths.c.up_to_number < oldest_kept)
    ).rowcount
