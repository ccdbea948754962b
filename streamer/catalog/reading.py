"""What a path promises: the statements behind `resolve`, on a connection that is given.

Separate from the store and the thread pool because both use them. Three statements answer a
look-up: the distributions it may fall under with the publications that may answer, the entries
of that path in them, and the importers of its sources. A pass-through distribution needs two: what
lies below it nobody here knows. Nothing is remembered between look-ups, so a switched pointer and
a withdrawal are seen by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import cast

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, or_, select

from streamer.catalog.paths import below, is_storable, possible_base_paths
from streamer.catalog.tables import (
    AnyRow,
    distributions,
    entries,
    held_slices,
    importers,
    publications,
    withdrawn_digests,
    withdrawn_paths,
)
from streamer.errors import PathNotPublished
from streamer.model import (
    Artifact,
    CacheKind,
    Digest,
    DownloadConfig,
    PassThrough,
    PublicationId,
    PublishedArtifact,
    RemoteArtifact,
)


def is_withdrawn() -> ColumnElement[bool]:
    """Whether the entry at hand, joined with its publication, is withdrawn by path or digest.

    Few entries have more than one digest, so only those pay for a search through the others.
    """
    by_path = exists().where(
        withdrawn_paths.c.base_path == publications.c.base_path,
        withdrawn_paths.c.path == entries.c.path,
        withdrawn_paths.c.up_to_number >= publications.c.number,
    )
    by_digest = exists().where(withdrawn_digests.c.digest == entries.c.digest)
    by_other_digest = exists().where(entries.c.more_digests.contains(withdrawn_digests.c.digest))
    return or_(by_path, by_digest, and_(entries.c.more_digests.is_not(None), by_other_digest))


# Statements are built once: composing one takes SQLAlchemy longer than executing it.

_may_answer = and_(
    publications.c.base_path == distributions.c.base_path,
    publications.c.state == "published",
    or_(
        publications.c.id == distributions.c.current_publication_id,
        publications.c.grace_until > bindparam("now"),
    ),
)

_ANSWERING = (
    select(
        distributions.c.base_path,
        distributions.c.importer_id,
        distributions.c.keeps_query,
        publications.c.id,
        publications.c.number,
        publications.c.published_at,
        publications.c.superseded_at,
        publications.c.grace_until,
    )
    .select_from(distributions.outerjoin(publications, _may_answer))
    .where(
        distributions.c.base_path.in_(bindparam("base_paths", expanding=True)),
        or_(publications.c.id.is_not(None), distributions.c.importer_id.is_not(None)),
    )
)

_ENTRIES_AT_PATH = (
    select(entries, is_withdrawn().label("withdrawn"))
    .join(publications, publications.c.id == entries.c.publication_id)
    .where(
        entries.c.publication_id.in_(bindparam("publications", expanding=True)),
        entries.c.path == bindparam("path"),
    )
)

_IMPORTERS = select(importers).where(importers.c.id.in_(bindparam("ids", expanding=True)))

_HELD_SLICE = select(held_slices.c.content).where(
    held_slices.c.publication_id == bindparam("publication"),
    held_slices.c.digest == bindparam("digest"),
    held_slices.c.position == bindparam("offset"),
)

_IS_PUBLISHED = select(publications.c.state == "published").where(
    publications.c.id == bindparam("publication")
)


def resolve(connection: Connection, path: str, now: float) -> PublishedArtifact | PassThrough:
    """Find what `path` promises, as `interfaces.Catalog.resolve` says.

    The newest publication that has the path decides: where its entry is withdrawn, an older
    one's does not answer in its place.
    """
    if not is_storable(path):
        raise PathNotPublished
    publishing = answering(connection, path, now)
    if not publishing:
        raise PathNotPublished
    if publishing[0].importer_id is not None:
        return _pass_through(connection, publishing[0])
    base_path = publishing[0].base_path
    wanted = {
        "publications": [publication.id for publication in publishing],
        "path": below(base_path, path),
    }
    found = connection.execute(_ENTRIES_AT_PATH, wanted)
    by_publication = {entry.publication_id: entry for entry in found}
    for publication in publishing:
        entry = by_publication.get(publication.id)
        if entry is not None and not entry.withdrawn:
            return _published_artifact(connection, publication, entry)
        if entry is not None:
            break
    raise PathNotPublished


def answering(connection: Connection, path: str, now: float) -> list[AnyRow]:
    """The publications of the longest base path that may answer for `path`, in that order.

    First the current one, then those within their grace, the most recently superseded first:
    that is the order in which clients may have seen them. Of a pass-through distribution it is one
    row without a publication, whose `importer_id` is set.
    """
    wanted = {"base_paths": possible_base_paths(path), "now": now}
    candidates = connection.execute(_ANSWERING, wanted).all()
    longest = max((len(candidate.base_path) for candidate in candidates), default=0)
    return sorted(
        (candidate for candidate in candidates if len(candidate.base_path) == longest),
        key=lambda candidate: (
            candidate.superseded_at is not None,
            -(candidate.superseded_at or 0),
            -(candidate.number or 0),
        ),
    )


def download_config(row: AnyRow) -> DownloadConfig:
    """An importer as its row states it."""
    config = json.loads(row.config)
    return DownloadConfig(row.id, row.revision, row.name, row.type, config, row.sealed)


def held_slice(
    connection: Connection, publication: PublicationId, digest: str, offset: int
) -> bytes:
    """The slice of held content that begins at `offset`; empty where there is none."""
    wanted = {"publication": publication, "digest": digest, "offset": offset}
    content = connection.scalar(_HELD_SLICE, wanted)
    return b"" if content is None else bytes(content)


def is_published(connection: Connection, publication: PublicationId) -> bool:
    """Whether a publication that was seen a moment ago is still there."""
    return bool(connection.scalar(_IS_PUBLISHED, {"publication": publication}))


def _pass_through(connection: Connection, distribution: AnyRow) -> PassThrough:
    importer = connection.execute(_IMPORTERS, {"ids": [distribution.importer_id]}).one_or_none()
    if importer is None:
        raise PathNotPublished  # `catalog check` tells the operator
    return PassThrough(
        distribution.base_path, download_config(importer), bool(distribution.keeps_query)
    )


def _published_artifact(
    connection: Connection, publication: AnyRow, entry: AnyRow
) -> PublishedArtifact:
    modified = publication.published_at if entry.last_modified is None else entry.last_modified
    return PublishedArtifact(
        path=entry.path,
        base_path=publication.base_path,
        publication=publication.id,
        artifact=artifact_of(entry),
        cache=cast("CacheKind", entry.cache),
        last_modified=int(modified),
        sources=_sources(connection, json.loads(entry.sources)),
        held=entry.held,
        grace_until=publication.grace_until,
    )


def artifact_of(entry: AnyRow) -> Artifact:
    """The artifact that an entry promises."""
    more = json.loads(entry.more_digests) if entry.more_digests else ()
    digests = tuple(Digest.parse(text) for text in (entry.digest, *more))
    return Artifact(digests, entry.size, entry.media_type)


def _sources(
    connection: Connection, stored: Iterable[tuple[int, str, int]]
) -> tuple[RemoteArtifact, ...]:
    """Join stored sources with their importers as they are now, the lowest priority first."""
    ordered = sorted(stored, key=lambda source: source[2])
    wanted = {importer_id for importer_id, _, _ in ordered}
    if not wanted:
        return ()
    rows = connection.execute(_IMPORTERS, {"ids": sorted(wanted)})
    configs = {row.id: download_config(row) for row in rows}
    return tuple(
        RemoteArtifact(configs[importer_id], url, priority)
        for importer_id, url, priority in ordered
        if importer_id in configs
    )
