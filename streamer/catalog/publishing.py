"""Writing a publication: entries in batches that nobody sees, then one switch.

Strategy: a publication is `building` while its entries are added, each batch in a short
transaction of its own that also touches the publication, so that `prune` can tell a slow publisher
from a dead one. `publish` checks what only the whole can show (`contradictions`), then switches
(`switching`). A crash at any point leaves a publication that nobody sees.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from streamer.catalog.binding import refuse_bound
from streamer.catalog.contradictions import duplicate, refuse_contradictions, refuse_unstorable
from streamer.catalog.database import Database
from streamer.catalog.inventory import publication_by_id
from streamer.catalog.paths import checked_base_path
from streamer.catalog.records import PublicationInfo
from streamer.catalog.retention import abandon, clear_deleted, trim
from streamer.catalog.switching import given_up, switch
from streamer.catalog.tables import (
    distributions,
    entries,
    held_slices,
    publication_importers,
    publications,
)
from streamer.errors import CatalogError, EntryRejected
from streamer.model import Entry, PublicationId

ENTRIES_PER_TRANSACTION = 5_000
HELD_BYTES_PER_TRANSACTION = 32 * 1024 * 1024
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
            refuse_bound(connection, base_path)
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
        for some in _transactions(batch):
            self._add(some)

    def publish(self, grace_seconds: float, keep: int) -> PublicationInfo:
        """Make the draft the distribution's current publication.

        The former one answers for `grace_seconds` more, and no earlier one longer than it: with
        no grace, nothing but this publication answers. Of all, `keep` are kept, and those that
        are within their grace; others are deleted, which takes a while and disturbs nobody.
        Raises `EntryRejected` where two entries promise one digest with different sizes.
        """
        with self._database.reading() as connection:
            refuse_contradictions(connection, self.publication)
        now = self._now()
        with self._database.writing() as connection:
            grace_until = now + grace_seconds
            switch(self._database, connection, self.base_path, self.publication, now, grace_until)
            info = publication_by_id(connection, self.publication)
        self.is_published = True
        # It is published: what cannot be deleted now, `prune` deletes later.
        with suppress(CatalogError):
            trim(self._database, self.base_path, keep, now)
        return info

    def discard(self) -> None:
        """Delete the draft and its rows; where the database is away, `prune` will.

        Harmless where it was published after all, and only the answer was lost.
        """
        with suppress(CatalogError):
            with self._database.writing() as connection:
                abandon(connection, publications.c.id == self.publication)
            clear_deleted(self._database)

    def _add(self, batch: Sequence[Entry]) -> None:
        refuse_unstorable(batch)
        with self._database.writing() as connection:
            self._touch(connection, batch)
            self._claim_importers(connection, batch)
            times = self._former_times(connection, batch)
            statement = (
                self._database.insert(entries)
                .on_conflict_do_nothing()
                .execution_options(preserve_rowcount=True)
            )
            # In the order of the key: input in no order touches every page once a batch, not more.
            in_order = sorted(batch, key=attrgetter("path"))
            rows = [self._row(entry, times) for entry in in_order]
            if connection.execute(statement, rows).rowcount < len(rows):
                raise duplicate(connection, self.publication, batch)
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
            raise given_up(self.base_path)

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
        if modified is None:
            modified = former_times.get((entry.path, digest))
        return {
            "publication_id": self.publication,
            "path": entry.path,
            "line": entry.line,
            "digest": digest,
            "more_digests": json.dumps(more) if more else None,
            "size": entry.artifact.size,
            "media_type": entry.artifact.media_type,
            "cache": entry.cache,
            "last_modified": modified,
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


def _transactions(batch: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Cut entries into lists that end by number, or by the held content that they bring along."""
    some: list[Entry] = []
    held_bytes = 0
    for entry in batch:
        some.append(entry)
        held_bytes += len(entry.content or b"")
        if len(some) == ENTRIES_PER_TRANSACTION or held_bytes >= HELD_BYTES_PER_TRANSACTION:
            yield some
            some, held_bytes = [], 0
    if some:
        yield some


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


def _sources(entry: Entry) -> str:
    return json.dumps(
        [[source.importer_id, source.url, source.priority] for source in entry.sources]
    )
