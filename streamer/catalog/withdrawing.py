"""Taking content out of everybody's reach at once, and the way back.

A path is withdrawn from the publications that its distribution has at that moment, grace
included: a later publication that has the path again means it. A digest is withdrawn everywhere
and for good, also from publications to come. Nothing is deleted, so both can be restored.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select

from streamer.catalog.database import Database
from streamer.catalog.inventory import lock_distribution
from streamer.catalog.paths import below, is_storable, possible_base_paths
from streamer.catalog.tables import (
    distributions,
    entries,
    publications,
    withdrawn_digests,
    withdrawn_paths,
)
from streamer.errors import OperationRefused
from streamer.model import Digest


def withdraw_path(database: Database, path: str) -> int:
    """Withdraw what is published at a path and return how many entries that concerns.

    Refused below a pass-through distribution, which shows what its origin has.
    """
    with database.writing() as connection:
        base_path = _base_path_of(connection, path)
        rest = below(base_path, path)
        distribution = lock_distribution(connection, base_path)
        if distribution.importer_id is not None:
            raise OperationRefused(
                f"{base_path!r} passes through to an importer: "
                "what lies below it, its origin alone can take away"
            )
        up_to = {"up_to_number": distribution.last_number}
        affected = _published(connection, _at(base_path, rest))
        if affected:
            connection.execute(
                database.insert(withdrawn_paths)
                .values(base_path=base_path, path=rest, **up_to)
                .on_conflict_do_update(
                    index_elements=[withdrawn_paths.c.base_path, withdrawn_paths.c.path],
                    set_=up_to,
                )
            )
    return affected


def restore_path(database: Database, path: str) -> int:
    """Undo the withdrawal of a path; returns 0 where it was not withdrawn."""
    with database.writing() as connection:
        base_path = _base_path_of(connection, path)
        rest = below(base_path, path)
        restored = connection.execute(
            delete(withdrawn_paths).where(
                withdrawn_paths.c.base_path == base_path, withdrawn_paths.c.path == rest
            )
        )
        return _published(connection, _at(base_path, rest)) if restored.rowcount else 0


def withdraw_digest(database: Database, digest: Digest) -> int:
    """Withdraw content wherever it is and will be published; returns how many entries have it."""
    statement = database.insert(withdrawn_digests).on_conflict_do_nothing()
    with database.writing() as connection:
        connection.execute(statement, {"digest": str(digest)})
    return _entries_with(database, digest)


def restore_digest(database: Database, digest: Digest) -> int:
    """Undo the withdrawal of content; returns 0 where it was not withdrawn."""
    with database.writing() as connection:
        restored = connection.execute(
            delete(withdrawn_digests).where(withdrawn_digests.c.digest == str(digest))
        )
    return _entries_with(database, digest) if restored.rowcount else 0


def _entries_with(database: Database, digest: Digest) -> int:
    """Count by reading every entry: this is rare, and an index would cost every publish."""
    text = str(digest)
    with database.reading() as connection:
        return _published(
            connection, or_(entries.c.digest == text, entries.c.more_digests.contains(text))
        )


def _at(base_path: str, path: str) -> ColumnElement[bool]:
    return (publications.c.base_path == base_path) & (entries.c.path == path)


def _published(connection: Connection, wanted: ColumnElement[bool]) -> int:
    count = connection.scalar(
        select(func.count())
        .select_from(entries)
        .join(publications, publications.c.id == entries.c.publication_id)
        .where(publications.c.state == "published", wanted)
    )
    return count or 0


def _base_path_of(connection: Connection, path: str) -> str:
    candidates = (
        connection.scalars(
            select(distributions.c.base_path).where(
                distributions.c.base_path.in_(possible_base_paths(path))
            )
        ).all()
        if is_storable(path)
        else ()
    )
    if not candidates:
        raise OperationRefused(f"no distribution covers the path {path!r}")
    return str(max(candidates, key=len))
