"""Changing importers and deleting things: what is allowed, in one transaction each.

Whoever changes an importer's config is asked for it within the transaction, in which nobody else
creates or changes one. So secrets are sealed for an id that exists, with a key that is not taken
away meanwhile; what is secret, and what a key is, callers know.

Separate from `inventory`, which only looks. An importer that a kept publication names cannot be
deleted, and neither can the publication that a distribution shows: the refusal says what stands
in the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, delete, select, text, update

from streamer.catalog.binding import base_paths_bound_to
from streamer.catalog.database import Database
from streamer.catalog.inventory import (
    all_importers,
    importer_named,
    lock_distribution,
    publication_by_id,
)
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

Seal = Callable[[int], str | None]
"""Gives the sealed part of a config for the importer of that id."""

Change = Callable[[DownloadConfig], DownloadConfig]
"""Gives an importer with another `config` and `sealed`; the rest of it is not looked at."""

Reseal = Callable[[Sequence[DownloadConfig]], Iterable[DownloadConfig]]
"""Gets every importer, by name, and gives those that are to be stored otherwise."""


def create_importer(
    database: Database,
    name: str,
    importer_type: str,
    config: Mapping[str, object],
    seal: Seal | None,
    now: float,
) -> DownloadConfig:
    """Store a new importer at revision 1; what `seal` raises takes it back."""
    values = {
        "name": checked_importer_name(name),
        "type": importer_type,
        "config": json.dumps(dict(config)),
        "revision": 1,
        "created_at": now,
        "updated_at": now,
    }
    with _changing_importers(database) as connection:
        created = connection.execute(
            database.insert(importers)
            .values(values)
            .on_conflict_do_nothing(index_elements=[importers.c.name])
            .returning(importers.c.id)
        ).one_or_none()
        if created is None:
            raise OperationRefused(f"there is an importer {name!r} already")
        if seal is not None:
            _store(connection, created.id, sealed=seal(created.id))
        return importer_named(connection, name)


def update_importer(database: Database, name: str, change: Change, now: float) -> DownloadConfig:
    """Replace an importer's config; the new revision gets connections and tokens of its own."""
    with _changing_importers(database) as connection:
        stored = importer_named(connection, name)
        changed = change(stored)
        _store(
            connection,
            stored.id,
            config=json.dumps(dict(changed.config)),
            sealed=changed.sealed,
            revision=stored.revision + 1,
            updated_at=now,
        )
        return importer_named(connection, name)


def reseal_importers(database: Database, reseal: Reseal) -> list[DownloadConfig]:
    """Store secrets otherwise, which are still the same: no revision, no connection changes.

    Gives the importers that are stored otherwise now: all of them, or an exception and none.
    """
    with _changing_importers(database) as connection:
        changed = list(reseal(all_importers(connection)))
        for one in changed:
            _store(connection, one.id, config=json.dumps(dict(one.config)), sealed=one.sealed)
        return changed


@contextmanager
def _changing_importers(database: Database) -> Iterator[Connection]:
    """A transaction in which nobody else creates or changes an importer."""
    with database.writing(thoroughly=True) as connection:
        if not database.is_sqlite:  # whose writers are alone anyway
            connection.execute(text("LOCK TABLE importers IN SHARE ROW EXCLUSIVE MODE"))
        yield connection


def _store(connection: Connection, importer_id: int, **values: object) -> None:
    connection.execute(update(importers).where(importers.c.id == importer_id).values(values))


def delete_importer(database: Database, name: str) -> None:
    """Delete an importer that nothing needs: no publication, kept or being built, no binding."""
    with _changing_importers(database) as connection:
        # Whoever is about to use it is waited for, and then seen.
        connection.execute(select(importers).where(importers.c.name == name).with_for_update())
        importer = importer_named(connection, name)
        users = _base_paths_using(connection, importer.id)
        if users:
            raise OperationRefused(
                f"importer {name!r} is used by publications of {', '.join(users)}: "
                "delete these first"
            )
        if bound := base_paths_bound_to(connection, importer.id):
            raise OperationRefused(
                f"importer {name!r} is what {', '.join(bound)} passes through to: "
                "delete these distributions first"
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
