"""Which publication a distribution shows: the one short transaction of publish and of rollback.

Separate because both are the same act: a pointer moves, the former publication starts its grace.
Whoever calls brings the transaction. Two publishers of one distribution queue up at its row, so
each gets a number of its own and supersedes the other.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from streamer.catalog.binding import refuse_bound
from streamer.catalog.database import Database
from streamer.catalog.inventory import lock_distribution, publication_by_id, publications_of
from streamer.catalog.records import PublicationInfo
from streamer.catalog.tables import distributions, publications
from streamer.errors import OperationRefused
from streamer.model import PublicationId


def switch(
    database: Database,
    connection: Connection,
    base_path: str,
    publication: PublicationId,
    now: float,
    grace_until: float,
) -> None:
    """Publish what was built: the next number, the pointer; creates the distribution if new.

    Refused where the base path was made pass-through meanwhile.
    """
    numbered = (
        database.insert(distributions)
        .values(base_path=base_path, last_number=1, created_at=now)
        .on_conflict_do_update(
            index_elements=[distributions.c.base_path],
            set_={"last_number": distributions.c.last_number + 1},
        )
        .returning(distributions.c.last_number, distributions.c.current_publication_id)
    )
    number, former = connection.execute(numbered).one()
    refuse_bound(connection, base_path)
    published = connection.execute(
        update(publications)
        .where(publications.c.id == publication, publications.c.state == "building")
        .values(
            state="published",
            number=number,
            published_at=_later_second(connection, base_path, now),
        )
    )
    if not published.rowcount:
        raise given_up(base_path)
    _point_at(connection, base_path, publication)
    if former is not None:
        _supersede(connection, base_path, former, now, grace_until)


def roll_back(
    connection: Connection,
    base_path: str,
    to: PublicationId | None,
    now: float,
    grace_until: float,
) -> PublicationInfo:
    """Point at the newest older publication that is kept, or at `to`, which may be newer too."""
    current = lock_distribution(connection, base_path).current_publication_id
    target = _rollback_target(publications_of(connection, base_path), to)
    _point_at(connection, base_path, target)
    _supersede(connection, base_path, current, now, grace_until)
    return publication_by_id(connection, target)


def given_up(base_path: str) -> OperationRefused:
    """What a publisher hears that was silent for so long that `prune` took its draft away."""
    return OperationRefused(
        f"this publication of {base_path!r} was removed as abandoned while it was built"
    )


def _rollback_target(kept: list[PublicationInfo], to: PublicationId | None) -> PublicationId:
    """Decide where a rollback leads; `kept` has the highest number first."""
    current = next(info for info in kept if info.is_current)
    if to is None:
        older = [info.id for info in kept if info.number < current.number]
        if not older:
            raise OperationRefused(f"{current.base_path!r} keeps no older publication")
        return older[0]
    if to == current.id:
        raise OperationRefused(f"publication {to} is the current one already")
    if to not in [info.id for info in kept]:
        raise OperationRefused(f"{current.base_path!r} has no publication {to}")
    return to


def _point_at(connection: Connection, base_path: str, publication: PublicationId) -> None:
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


def _later_second(connection: Connection, base_path: str, now: float) -> float:
    """A moment whose second no publication of this distribution has.

    So content that changed has another Last-Modified, however quickly one publishes: only then is
    the date a strong validator, and a range may depend on it (RFC 9110 section 8.8.2.2).
    """
    latest = connection.execute(
        select(func.max(publications.c.published_at)).where(publications.c.base_path == base_path)
    ).scalar_one()
    return now if latest is None else max(now, float(int(latest) + 1))


def _supersede(
    connection: Connection, base_path: str, former: PublicationId, now: float, grace_until: float
) -> None:
    """Start the grace of a publication; no earlier one of its distribution outlives it."""
    connection.execute(
        update(publications)
        .where(publications.c.id == former)
        .values(superseded_at=now, grace_until=grace_until)
    )
    connection.execute(
        update(publications)
        .where(publications.c.base_path == base_path, publications.c.grace_until > grace_until)
        .values(grace_until=grace_until)
    )
