"""Changing importers and deleting things: what is allowed, in one transaction each.

Separate from `inventory`, which only looks. An importer that a kept publication names cannot be
deleted, and neither can the publication that a distribution shows: the refusal says what stands
in the way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection, delete, select, update

from streamer.catalog.database import Database
from streamer.catalog.inventory import importer_named, lock_distribution, publication_by_id
from streamer.catalog.paths import checked_importer_name
from streamer.catalog.retention import clear_deleted, mark_deleted
from streamer.catalog.tables import (
    distributions,
    importers,
    publication_importers,
    publications,
    withdrawn_paths,
)
from streamer.errors import OperationRefused
from streamer.model import DownloadConfig, PublicationId


def create_importer(
    database: Database, name: str, importer_type: str, config: Mapping[str, object], now: float
) -> DownloadConfig:
    """Store a new importer at revision 1."""
    values = {
        "name": checked_importer_name(name),
        "type": importer_type,
        "config": json.dumps(dict(config)),
        "revision": 1,
        "created_at": now,
        "updated_at": now,
    }
    with database.writing() as connection:
        created = connection.execute(
            database.insert(importers)
            .values(values)
            .on_conflict_do_nothing(index_elements=[importers.c.name])
            .returning(importers.c.id)
        )
        if created.one_or_none() is None:
            raise OperationRefused(f"there is an importer {name!r} already")
        return importer_named(connection, name)


def update_importer(
    database: Database, name: str, config: Mapping[str, object], now: float
) -> DownloadConfig:
    """Replace an importer's config; the new revision gets connections and tokens of its own."""
    with database.writing() as connection:
        connection.execute(
            update(importers)
            .where(importers.c.name == name)
            .values(
                config=json.dumps(dict(config)),
                revision=importers.c.revision + 1,
                updated_at=now,
            )
        )
        return importer_named(connection, name)


def delete_importer(database: Database, name: str) -> None:
    """Delete an importer that no publication names, kept or being built."""
    with database.writing() as connection:
        # Whoever is about to use it is waited for, and then seen.
        connection.execute(select(importers).where(importers.c.name == name).with_for_update())
        importer = importer_named(connection, name)
        users = _base_paths_using(connection, importer.id)
        if users:
            raise OperationRefused(
                f"importer {name!r} is used by publications of {', '.join(users)}: "
                "delete these first"
            )
        connection.execute(delete(importers).where(importers.c.id == importer.id))


def delete_publication(database: Database, publication: PublicationId) -> None:
    """Delete a superseded publication at once, whatever its grace."""
    with database.writing() as connection:
        base_path = publication_by_id(connection, publication).base_path
        if lock_distribution(connection, base_path).current_publication_id == publication:
            raise OperationRefused(
                f"publication {publication} is what {base_path!r} shows: "
                "roll back, or delete the distribution"
            )
        mark_deleted(connection, [publication])
    clear_deleted(database)


def delete_distribution(database: Database, base_path: str) -> None:
    """Delete a distribution with everything that was published there."""
    with database.writing() as connection:
        lock_distribution(connection, base_path)
        kept = connection.scalars(
            select(publications.c.id).where(
                publications.c.base_path == base_path, publications.c.state == "published"
            )
        ).all()
        mark_deleted(connection, kept)
        connection.execute(delete(withdrawn_paths).where(withdrawn_paths.c.base_path == base_path))
        connection.execute(delete(distributions).where(distributions.c.base_path == base_path))
    clear_deleted(database)


def _base_paths_using(connection: Connection, importer_id: int) -> list[str]:
    return sorted(
        connection.scalars(
            select(publications.c.base_path)
            .join(
                publication_importers,
                publication_importers.c.publication_id == publications.c.id,
            )
            .where(publication_importers.c.importer_id == importer_id)
            .distinct()
        )
    )
