"""Looking a catalog over: what is not as it should be, in words for an operator.

Separate because it reads everything and is allowed to take its time. Repairs nothing: each
sentence says what to do, or which command does it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, exists, func, select

from streamer.catalog.database import CORRUPT_HINT, Database
from streamer.catalog.tables import (
    distributions,
    entries,
    held_slices,
    importers,
    publication_importers,
    publications,
)


def problems(database: Database) -> list[str]:
    """Everything that is wrong or left over; an empty list is what one hopes for."""
    with database.reading() as connection:
        if database.is_sqlite:
            damage = list(_damage(connection))
            if damage:
                return damage  # what a damaged file says of itself proves nothing
        return [
            *_dangling_pointers(connection),
            *_dangling_bindings(connection),
            *_missing_importers(connection),
            *_miscounted(connection),
            *_missing_content(connection),
            *_unfinished(connection),
        ]


def _damage(connection: Connection) -> Iterator[str]:
    for (verdict,) in connection.exec_driver_sql("PRAGMA integrity_check(10)"):
        if verdict != "ok":
            yield f"the file is damaged ({verdict}): {CORRUPT_HINT}"


def _dangling_pointers(connection: Connection) -> Iterator[str]:
    is_there = exists().where(
        publications.c.id == distributions.c.current_publication_id,
        publications.c.base_path == distributions.c.base_path,
        publications.c.state == "published",
    )
    is_bound = distributions.c.importer_id.is_not(None)
    query = select(distributions.c.base_path).where(~is_there, ~is_bound)
    for base_path in connection.scalars(query):
        yield f"{base_path!r} shows a publication that is not there: publish it anew"


def _dangling_bindings(connection: Connection) -> Iterator[str]:
    rows = connection.execute(
        select(distributions.c.base_path, distributions.c.importer_id)
        .outerjoin(importers, importers.c.id == distributions.c.importer_id)
        .where(distributions.c.importer_id.is_not(None), importers.c.id.is_(None))
    )
    for row in rows:
        yield (
            f"{row.base_path!r} passes through to importer {row.importer_id}, which is not there: "
            "delete the distribution, or bind it anew"
        )


def _missing_importers(connection: Connection) -> Iterator[str]:
    rows = connection.execute(
        select(publication_importers, publications.c.base_path)
        .join(publications, publications.c.id == publication_importers.c.publication_id)
        .outerjoin(importers, importers.c.id == publication_importers.c.importer_id)
        .where(importers.c.id.is_(None))
    )
    for row in rows:
        yield (
            f"publication {row.publication_id} of {row.base_path!r} names importer "
            f"{row.importer_id}, which is not there: publish it anew"
        )


def _miscounted(connection: Connection) -> Iterator[str]:
    counted = (
        select(entries.c.publication_id, func.count().label("count"))
        .group_by(entries.c.publication_id)
        .subquery()
    )
    found = func.coalesce(counted.c.count, 0)
    rows = connection.execute(
        select(publications.c.id, publications.c.base_path, publications.c.entry_count, found)
        .outerjoin(counted, counted.c.publication_id == publications.c.id)
        .where(publications.c.state == "published", found != publications.c.entry_count)
    )
    for publication, base_path, promised, count in rows:
        yield (
            f"publication {publication} of {base_path!r} has {count} entries, not {promised}: "
            "publish it anew"
        )


def _missing_content(connection: Connection) -> Iterator[str]:
    is_there = exists().where(
        held_slices.c.publication_id == entries.c.publication_id,
        held_slices.c.digest == entries.c.digest,
    )
    rows = connection.execute(
        select(entries.c.path, publications.c.base_path)
        .join(publications, publications.c.id == entries.c.publication_id)
        .where(publications.c.state == "published", entries.c.held, entries.c.size > 0, ~is_there)
    )
    for row in rows:
        yield f"the content of {row.base_path}/{row.path} is not there: publish it anew"


def _unfinished(connection: Connection) -> Iterator[str]:
    rows = connection.execute(
        select(publications.c.id, publications.c.base_path, publications.c.state)
        .where(publications.c.state != "published")
        .order_by(publications.c.id)
    )
    for row in rows:
        what = "unfinished" if row.state == "building" else "deleted and not cleared away"
        yield (
            f"publication {row.id} of {row.base_path!r} is {what}: if no command is at it, "
            "run `pulp-streamer catalog prune`"
        )
