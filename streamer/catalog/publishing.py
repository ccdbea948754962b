"""Writing a publication: entries in batches that nobody sees, then one switch.

Strategy: a publication is `building` while its entries are added, each batch in a short
transaction of its own that also touches the publication, so that `prune` can tell a slow publisher
from a dead one. `publish` checks what only the whole can show, then one transaction numbers the
publication, makes it the distribution's current one and starts the grace of the former. A crash
at any point leaves a publication that nobody sees.

Entries come checked (`publishing` formats know lines and importers); what is refused here is what
only the table can know: a path that is there already, sizes that contradict each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from streamer.catalog.database import Database
from streamer.catalog.inventory import publication_by_id
from streamer.catalog.paths import checked_base_path, is_storable
from streamer.catalog.records import PublicationInfo
from streamer.catalog.retention import clear_deleted, mark_deleted, trim
from streamer.catalog.tables import (
    distributions,
    entries,
    held_slices,
    publication_importers,
    publications,
)
from streamer.errors import CatalogError, EntryRejected, OperationRefused
from streamer.model import Entry, PublicationId

ENTRIES_PER_TRANSACTION = 2_000
SLICE_BYTES = 256 * 1024
"""Held content is read in such slices; small enough to hold one per client in memory."""


@contextmanager
def building(database: Database, base_path: str, now: Callable[[], float]) -> Iterator[Draft]:
    """A draft of the next publication of a distribution; what is not published at the end goes."""
    draft = Draft(database, checked_base_path(base_path), now)
    try:
        yield draft
    finally:
        if not draft.is_published:
            draft.discard()


class Draft:
    """A publication that is being built. Nobody sees it before `publish` has returned."""

    def __init__(self, database: Database, base_path: str, now: Callable[[], float]) -> None:
        self.base_path = base_path
        self.is_published = False
        self._database = database
        self._now = now
        self._importers: set[int] = set()
        with database.writing() as connection:
            self._former = connection.execute(
                select(publications.c.id, publications.c.published_at)
                .join(distributions, distributions.c.current_publication_id == publications.c.id)
                .where(distributions.c.base_path == base_path)
            ).one_or_none()
            self.publication = PublicationId(_start_publication(connection, base_path, now()))

    def add(self, batch: Iterable[Entry]) -> None:
        """Add entries, a few thousand to a transaction however many there are.

        Raises `EntryRejected` for a path that is there already; the draft is then good for nothing.
        """
        remaining = iter(batch)
        while some := list(islice(remaining, ENTRIES_PER_TRANSACTION)):
            self._add(some)

    def publish(self, grace_seconds: float, keep: int) -> PublicationInfo:
        """Make the draft the distribution's current publication.

        The former one answers for `grace_seconds` more, and no earlier one longer than it: with
        no grace, nothing but this publication answers. Of all, `keep` are kept, and those that
        are within their grace; others are deleted, which takes a while and disturbs nobody.
        Raises `EntryRejected` where two entries promise one digest with different sizes.
        """
        self._refuse_contradictions()
        now = self._now()
        with self._database.writing() as connection:
            self._switch(connection, now, now + grace_seconds)
        self.is_published = True
        # It is published: what cannot be deleted now, `prune` deletes later.
        with suppress(CatalogError):
            trim(self._database, self.base_path, keep, now)
        with self._database.reading() as connection:
            return publication_by_id(connection, self.publication)

    def discard(self) -> None:
        """Delete the draft and its rows; where the database is away, `prune` will."""
        with suppress(CatalogError):
            with self._database.writing() as connection:
                mark_deleted(connection, [self.publication])
            clear_deleted(self._database)

    def _add(self, batch: Sequence[Entry]) -> None:
        _refuse_unstorable(batch)
        with self._database.writing() as connection:
            self._touch(connection, batch)
            self._claim_importers(connection, batch)
            times = self._former_times(connection, batch)
            statement = self._database.insert(entries).on_conflict_do_nothing()
            rows = [self._row(entry, times) for entry in batch]
            if connection.execute(statement, rows).rowcount < len(rows):
                raise self._duplicate(connection, batch)
            self._hold(connection, batch)

    def _touch(self, connection: Connection, batch: Sequence[Entry]) -> None:
        touched = connection.execute(
            update(publications)
            .where(publications.c.id == self.publication, publications.c.state == "building")
            .values(
                touched_at=self._now(),
                entry_count=publications.c.entry_count + len(batch),
                total_size=publications.c.total_size + sum(e.artifact.size or 0 for e in batch),
            )
        )
        if not touched.rowcount:
            raise self._given_up()

    def _given_up(self) -> OperationRefused:
        return OperationRefused(
            f"this publication of {self.base_path!r} was removed as abandoned while it was built"
        )

    def _claim_importers(self, connection: Connection, batch: Sequence[Entry]) -> None:
        """Record which importers the publication needs, so that none of them can be deleted."""
        lines = {source.importer_id: entry.line for entry in batch for source in entry.sources}
        for importer_id in sorted(lines.keys() - self._importers):
            claim = {"publication_id": self.publication, "importer_id": importer_id}
            statement = self._database.insert(publication_importers).on_conflict_do_nothing()
            try:
                connection.execute(statement, claim)
            except IntegrityError as error:
                raise EntryRejected(lines[importer_id], "its importer was deleted") from error
        self._importers |= lines.keys()

    def _former_times(
        self, connection: Connection, batch: Sequence[Entry]
    ) -> dict[tuple[str, str], int]:
        """When paths that say nothing themselves were modified, by what the former one says.

        The digest is part of the key: a changed file is as new as the publication.
        """
        unknown = [entry.path for entry in batch if entry.last_modified is None]
        if self._former is None or not unknown:
            return {}
        rows = connection.execute(
            select(entries.c.path, entries.c.digest, entries.c.last_modified).where(
                entries.c.publication_id == self._former.id, entries.c.path.in_(unknown)
            )
        )
        published_at = int(self._former.published_at)
        return {
            (row.path, row.digest): published_at if row.last_modified is None else row.last_modified
            for row in rows
        }

    def _row(self, entry: Entry, former_times: dict[tuple[str, str], int]) -> dict[str, Any]:
        digest, *more = (str(digest) for digest in entry.artifact.digests)
        modified = entry.last_modified
        return {
            "publication_id": self.publication,
            "path": entry.path,
            "line": entry.line,
            "digest": digest,
            "more_digests": json.dumps(more) if more else None,
            "size": entry.artifact.size,
            "media_type": entry.artifact.media_type,
            "cache": entry.cache,
            "last_modified": former_times.get((entry.path, digest)) if modified is None else modified,
            "sources": _sources(entry),
            "held": entry.content is not None,
        }

    def _hold(self, connection: Connection, batch: Sequence[Entry]) -> None:
        """Store held content in slices; two entries of one content share them."""
        statement = self._database.insert(held_slices).on_conflict_do_nothing()
        for entry in batch:
            content = entry.content or b""
            for position in range(0, len(content), SLICE_BYTES):
                values = {
                    "publication_id": self.publication,
                    "digest": str(entry.artifact.digest),
                    "position": position,
                    "content": content[position : position + SLICE_BYTES],
                }
                connection.execute(statement, values)

    def _duplicate(self, connection: Connection, batch: Sequence[Entry]) -> EntryRejected:
        """Name the first entry that was not stored, because its path was there already."""
        stored = connection.execute(
            select(entries.c.path, entries.c.line).where(
                entries.c.publication_id == self.publication,
                entries.c.path.in_([entry.path for entry in batch]),
            )
        )
        lines = {row.path: row.line for row in stored}
        wrong = next((entry for entry in batch if entry.line != lines[entry.path]), batch[-1])
        return EntryRejected(
            wrong.line, f"the path {wrong.path!r} is on line {lines[wrong.path]} already"
        )

    def _refuse_contradictions(self) -> None:
        """The database sorts, on disk where it must: nothing of the input is kept in memory."""
        of_it = entries.c.publication_id == self.publication
        with self._database.reading() as connection:
            digest = connection.scalar(
                select(entries.c.digest)
                .where(of_it, entries.c.size.is_not(None))
                .group_by(entries.c.digest)
                .having(func.min(entries.c.size) != func.max(entries.c.size))
                .order_by(func.min(entries.c.line))
                .limit(1)
            )
            if digest is None:
                return
            sized = connection.execute(
                select(entries.c.line, entries.c.size)
                .where(of_it, entries.c.digest == digest, entries.c.size.is_not(None))
                .order_by(entries.c.line)
            ).all()
        first = sized[0]
        other = next(row for row in sized if row.size != first.size)
        raise EntryRejected(
            other.line,
            f"{digest} has {other.size} bytes here and {first.size} bytes on line {first.line}",
        )

    def _switch(self, connection: Connection, now: float, grace_until: float) -> None:
        """Take the next number and the distribution's pointer; creates the distribution."""
        numbered = (
            self._database.insert(distributions)
            .values(base_path=self.base_path, last_number=1, created_at=now)
            .on_conflict_do_update(
                index_elements=[distributions.c.base_path],
                set_={"last_number": distributions.c.last_number + 1},
            )
            .returning(distributions.c.last_number, distributions.c.current_publication_id)
        )
        number, former = connection.execute(numbered).one()
        published = connection.execute(
            update(publications)
            .where(publications.c.id == self.publication, publications.c.state == "building")
            .values(state="published", number=number, published_at=now)
        )
        if not published.rowcount:
            raise self._given_up()
        point_at(connection, self.base_path, self.publication)
        if former is not None:
            supersede(connection, former, now, grace_until)


def supersede(
    connection: Connection, former: PublicationId, now: float, grace_until: float
) -> None:
    """Start the grace of a publication; no earlier one of its distribution outlives it."""
    connection.execute(
        update(publications)
        .where(publications.c.id == former)
        .values(superseded_at=now, grace_until=grace_until)
    )
    base_path = select(publications.c.base_path).where(publications.c.id == former)
    connection.execute(
        update(publications)
        .where(
            publications.c.base_path == base_path.scalar_subquery(),
            publications.c.grace_until > grace_until,
        )
        .values(grace_until=grace_until)
    )


def point_at(connection: Connection, base_path: str, publication: PublicationId) -> None:
    """Make a publication the one that its distribution shows."""
    connection.execute(
        update(publications)
        .where(publications.c.id == publication)
        .values(superseded_at=None, grace_until=None)
    )
    connection.execute(
        update(distributions)
        .where(distributions.c.base_path == base_path)
        .values(current_publication_id=publication)
    )


def _start_publication(connection: Connection, base_path: str, now: float) -> int:
    statement = insert(publications).values(
        base_path=base_path,
        state="building",
        created_at=now,
        touched_at=now,
        entry_count=0,
        total_size=0,
    )
    return int(connection.execute(statement.returning(publications.c.id)).scalar_one())


def _refuse_unstorable(batch: Sequence[Entry]) -> None:
    for entry in batch:
        if not is_storable(entry.path):
            raise EntryRejected(entry.line, "the path holds control characters or is too long")


def _sources(entry: Entry) -> str:
    return json.dumps([[source.importer_id, source.url, source.priority] for source in entry.sources])
