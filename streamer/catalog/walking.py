"""All entries of what a distribution shows now, a page at a time.

Separate from `listing`, which shows the names of one folder: this goes through everything, for who
has something to do with all of it, in the order of the key and in memory for one page. Each page is
of the publication that is current then, so whoever goes on behind the last path sees every path
that the newest publication has from there on, although others were published meanwhile.
"""

from __future__ import annotations

from sqlalchemy import Connection, Integer, bindparam, not_, select

from streamer.catalog.reading import artifact_of, is_withdrawn
from streamer.catalog.records import Promise
from streamer.catalog.tables import distributions, entries, publications

_NEXT_ENTRIES = (
    select(
        entries.c.path,
        entries.c.digest,
        entries.c.more_digests,
        entries.c.size,
        entries.c.media_type,
        entries.c.held,
    )
    .join(publications, publications.c.id == entries.c.publication_id)
    .join(distributions, distributions.c.current_publication_id == publications.c.id)
    .where(
        distributions.c.base_path == bindparam("base_path"),
        entries.c.path > bindparam("after"),
        not_(is_withdrawn()),
    )
    .order_by(entries.c.path)
    .limit(bindparam("rows", type_=Integer))
)


def promises(connection: Connection, base_path: str, after: str, limit: int) -> list[Promise]:
    """Up to `limit` entries behind the path `after`, which is relative too; `""` is before all.

    Withdrawn ones are left out. There are none where the distribution is gone, or is pass-through.
    """
    wanted = {"base_path": base_path, "after": after, "rows": limit}
    rows = connection.execute(_NEXT_ENTRIES, wanted)
    return [Promise(row.path, artifact_of(row), bool(row.held)) for row in rows]
