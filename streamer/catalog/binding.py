"""Pass-through distributions: a base path bound to an importer instead of to publications.

Separate from `administration`, since publishing has to look here too: a base path is one or the
other, and only by deleting the distribution does it become the other. Two writers meet at the
distribution's row, and whoever deletes an importer waits for those who are about to bind it.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from streamer.catalog.database import Database
from streamer.catalog.inventory import distribution_at, importer_named
from streamer.catalog.paths import checked_base_path
from streamer.catalog.records import DistributionInfo
from streamer.catalog.tables import distributions, importers
from streamer.errors import OperationRefused


def bind_distribution(
    database: Database, base_path: str, importer_name: str, keeps_query: bool, now: float
) -> DistributionInfo:
    """Let everything below a base path pass through to an importer, or to another one than before.

    Refused where publications are shown there.
    """
    with database.writing() as connection:
        connection.execute(
            select(importers.c.id).where(importers.c.name == importer_name).with_for_update()
        )
        binding = {
            "importer_id": importer_named(connection, importer_name).id,
            "keeps_query": keeps_query,
        }
        bound = connection.execute(
            database.insert(distributions)
            .values(
                base_path=checked_base_path(base_path), last_number=0, created_at=now, **binding
            )
            .on_conflict_do_update(
                index_elements=[distributions.c.base_path],
                set_=binding,
                where=distributions.c.importer_id.is_not(None),
            )
            .returning(distributions.c.base_path)
        )
        if bound.one_or_none() is None:
            raise OperationRefused(
                f"publications are shown at {base_path!r}: delete the distribution first"
            )
        return distribution_at(connection, base_path)


def refuse_bound(connection: Connection, base_path: str) -> None:
    """Return where publications may be shown; `bind_distribution` refuses the opposite."""
    importer_id = connection.scalar(
        select(distributions.c.importer_id).where(distributions.c.base_path == base_path)
    )
    if importer_id is not None:
        raise OperationRefused(
            f"{base_path!r} passes through to an importer: delete the distribution first"
        )


def base_paths_bound_to(connection: Connection, importer_id: int) -> list[str]:
    """Where an importer is needed without any publication."""
    return list(
        connection.scalars(
            select(distributions.c.base_path)
            .where(distributions.c.importer_id == importer_id)
            .order_by(distributions.c.base_path)
        )
    )
