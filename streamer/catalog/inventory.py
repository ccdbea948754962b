"""What an operator may ask about: importers, distributions and publications as records.

Separate because publishing and every command that changes something answer with these too. What
does not exist is refused by name, so that no caller tests for `None`.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, select

from streamer.catalog.reading import download_config
from streamer.catalog.records import DistributionInfo, PublicationInfo
from streamer.catalog.tables import SLASH, AnyRow, distributions, importers, publications
from streamer.errors import OperationRefused
from streamer.model import DownloadConfig, PublicationId


def importer_named(connection: Connection, name: str) -> DownloadConfig:
    """The importer, or a refusal."""
    row = connection.execute(select(importers).where(importers.c.name == name)).one_or_none()
    if row is None:
        raise OperationRefused(f"there is no importer {name!r}")
    return download_config(row)


def all_importers(connection: Connection) -> list[DownloadConfig]:
    """Every importer, by name."""
    rows = [download_config(row) for row in connection.execute(select(importers))]
    return sorted(rows, key=lambda importer: importer.name)


def publication_by_id(connection: Connection, publication: PublicationId) -> PublicationInfo:
    """A published publication, or a refusal; one that is being built or deleted is none."""
    found = _publications(connection, publications.c.id == publication)
    if not found:
        raise OperationRefused(f"there is no publication {publication}")
    return found[0]


def publications_of(connection: Connection, base_path: str) -> list[PublicationInfo]:
    """The publications that a distribution keeps, the highest number first; never none."""
    found = _publications(connection, publications.c.base_path == base_path)
    if not found and _bound(connection, distributions.c.base_path == base_path):
        raise OperationRefused(f"{base_path!r} is pass-through and has no publications")
    if not found:
        raise OperationRefused(f"there is no distribution {base_path!r}")
    return found


def distribution_at(connection: Connection, base_path: str) -> DistributionInfo:
    """The distribution, or a refusal."""
    if found := _bound(connection, distributions.c.base_path == base_path):
        return found[0]
    kept = publications_of(connection, base_path)
    return _distribution(kept, next(info for info in kept if info.is_current))


def all_distributions(connection: Connection) -> list[DistributionInfo]:
    """Every distribution, in the order of a tree of base paths."""
    kept: dict[str, list[PublicationInfo]] = {}
    for info in _publications(connection, publications.c.base_path.is_not(None)):
        kept.setdefault(info.base_path, []).append(info)
    shown = [
        _distribution(infos, info) for infos in kept.values() for info in infos if info.is_current
    ]
    bound = _bound(connection, distributions.c.importer_id.is_not(None))
    return sorted([*shown, *bound], key=lambda info: info.base_path.replace("/", SLASH))


def lock_distribution(connection: Connection, base_path: str) -> AnyRow:
    """The row of a distribution, held so that nobody else switches it in this transaction."""
    row = connection.execute(
        select(distributions).where(distributions.c.base_path == base_path).with_for_update()
    ).one_or_none()
    if row is None:
        raise OperationRefused(f"there is no distribution {base_path!r}")
    return row


def _distribution(kept: list[PublicationInfo], current: PublicationInfo) -> DistributionInfo:
    return DistributionInfo(current.base_path, current, len(kept))


def _bound(connection: Connection, wanted: ColumnElement[bool]) -> list[DistributionInfo]:
    """Those of the distributions that are pass-through."""
    rows = connection.execute(
        select(distributions.c.base_path, distributions.c.keeps_query, importers.c.name)
        .join(importers, importers.c.id == distributions.c.importer_id)
        .where(wanted)
    )
    return [
        DistributionInfo(row.base_path, None, 0, row.name, bool(row.keeps_query)) for row in rows
    ]


def _publications(connection: Connection, wanted: ColumnElement[bool]) -> list[PublicationInfo]:
    is_current = publications.c.id == distributions.c.current_publication_id
    rows = connection.execute(
        select(publications, func.coalesce(is_current, False).label("is_current"))
        .join(distributions, distributions.c.base_path == publications.c.base_path)
        .where(publications.c.state == "published", wanted)
        .order_by(publications.c.base_path, publications.c.number.desc())
    )
    return [_publication(row) for row in rows]


def _publication(row: AnyRow) -> PublicationInfo:
    return PublicationInfo(
        id=row.id,
        base_path=row.base_path,
        number=row.number,
        is_current=bool(row.is_current),
        created_at=row.created_at,
        published_at=row.published_at,
        superseded_at=row.superseded_at,
        grace_until=row.grace_until,
        entry_count=row.entry_count,
        total_size=row.total_size,
    )
