"""The statements of the store: find one table, write a batch, make room for it.

Separate from where it lies (`files`, `servers`) and from who waits (`threaded`): everything here
blocks, and may be called from several threads, and by several processes at once. Each method raises
`StoreUnavailable` and nothing else; a batch is written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.engine import make_url

from streamer.learned.changes import Change, Mark
from streamer.learned.failures import StoreUnfit
from streamer.learned.files import PieceFile
from streamer.learned.rows import checked, checksum, cost
from streamer.learned.servers import PieceServer
from streamer.learned.tables import VERSION, pieces, state
from streamer.pieces.table import Table
from streamer.settings import Settings

CONNECTIONS = 3
"""Two to read, one to write."""

_AT_ONCE = 500
"""How many values one statement names; SQLite knows a limit."""

_find = select(pieces.c.leaves, pieces.c.checksum, pieces.c.used).where(
    pieces.c.digest == bindparam("digest"), pieces.c.size == bindparam("size")
)
_lock = select(state.c.version, state.c.bytes).with_for_update()
_oldest = (
    select(pieces.c.digest, pieces.c.bytes)
    .order_by(pieces.c.used)
    .execution_options(yield_per=_AT_ONCE)
)
_use = update(pieces).where(pieces.c.digest == bindparam("which")).values(used=bindparam("day"))


@dataclass(frozen=True, slots=True)
class Stored:
    """A row: its table, or None where it is not as it was written, and the day of its last use."""

    table: Table | None
    used: int


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch: tables written, too many to be kept, evicted; what all cost now."""

    written: int = 0
    dropped: int = 0
    evicted: int = 0
    bytes: int = 0


class PieceStore:
    """The tables behind one URL, none of which outweigh `max_bytes` together."""

    def __init__(self, url: str, max_bytes: int) -> None:
        place = make_url(url)
        kind = PieceFile if place.get_backend_name() == "sqlite" else PieceServer
        self._place: PieceFile | PieceServer = kind(place, CONNECTIONS)
        self._max_bytes = max_bytes

    def __str__(self) -> str:
        return str(self._place)

    def read(self, digest: str, size: int) -> Stored | None:
        """Find the row of an artifact; where no store is there yet, nothing is."""
        if not self._place.has_store():
            return None
        with self._place.reading() as connection:
            row = connection.execute(_find, {"digest": digest, "size": size}).first()
        if row is None:
            return None
        return Stored(checked(digest, size, bytes(row.leaves), bytes(row.checksum)), row.used)

    def write(self, changes: Mapping[str, Change], today: int) -> Written:
        """Make these changes, evicting what was not used for the longest time; all or none.

        Without any it makes sure that there is a store, within its bound.
        """
        learned = {digest: each for digest, each in changes.items() if isinstance(each, Table)}
        fitting = _newest_within(learned, self._max_bytes)
        used = [digest for digest, each in changes.items() if each is Mark.USED]
        incoming = sum(map(cost, fitting.values()))
        with self._place.writing() as connection:
            kept = _locked(connection) - _delete(connection, changes.keys() - used)
            kept, evicted = _evict(connection, kept, self._max_bytes - incoming)
            _insert(connection, fitting, today)
            if used:
                connection.execute(_use, [{"which": digest, "day": today} for digest in used])
            connection.execute(update(state).values(bytes=kept + incoming))
        return Written(len(fitting), len(learned) - len(fitting), evicted, kept + incoming)

    def close(self) -> None:
        """Close idle connections."""
        self._place.close()


def store_of(settings: Settings) -> PieceStore | None:
    """The one that the service and all commands share; None where nothing is to be learned."""
    pieces = settings.pieces
    if not pieces.enabled:
        return None
    url = place_beside(settings.catalog.url.reveal()) if pieces.url is None else pieces.url.reveal()
    return PieceStore(url, pieces.max_bytes)


def place_beside(catalog_url: str) -> str:
    """Where the store lies when nobody says so: a file beside the catalog's, or its database."""
    url = make_url(catalog_url)
    if url.get_backend_name() == "sqlite":
        url = url.set(database=f"{url.database}.pieces")
    return url.render_as_string(hide_password=False)


def _newest_within(tables: Mapping[str, Table], max_bytes: int) -> dict[str, Table]:
    """As many as the store can hold at all, from the last one back."""
    fitting: dict[str, Table] = {}
    for digest, table in reversed(list(tables.items())):
        if cost(table) <= max_bytes:
            fitting[digest] = table
            max_bytes -= cost(table)
    return fitting


def _locked(connection: Connection) -> int:
    """Take the lock that all who write share; gives what is in the store."""
    row = connection.execute(_lock).first()
    if row is None or row.version != VERSION:
        raise StoreUnfit("its tables are of another version")
    kept: int = row.bytes
    return kept


def _evict(connection: Connection, kept: int, room: int) -> tuple[int, int]:
    """Delete what was not used for the longest time; gives what is kept then, and how many went."""
    digests = []
    if kept > room:
        rows = connection.execute(_oldest)
        for row in rows:
            digests.append(row.digest)
            kept -= row.bytes
            if kept <= room:
                break
        else:
            # Whatever was counted, nothing is left: others may have deleted some.
            kept = 0
        rows.close()
        _delete(connection, digests)
    return kept, len(digests)


def _delete(connection: Connection, digests: Iterable[str]) -> int:
    """Delete these, where they are there; gives what they cost."""
    freed = 0
    for some in _in_parts(digests):
        are_some = pieces.c.digest.in_(some)
        costs = connection.execute(select(pieces.c.bytes).where(are_some)).scalars().all()
        # What is learned is new, for the most part.
        if costs:
            connection.execute(delete(pieces).where(are_some))
        freed += sum(costs)
    return freed


def _insert(connection: Connection, tables: Mapping[str, Table], today: int) -> None:
    for some in _in_parts(tables):
        connection.execute(insert(pieces), [_row(each, tables[each], today) for each in some])


def _row(digest: str, table: Table, today: int) -> dict[str, object]:
    return {
        "digest": digest,
        "size": table.size,
        "bytes": cost(table),
        "used": today,
        "checksum": checksum(digest, table),
        "leaves": table.digests,
    }


def _in_parts(digests: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(digests)
    while some := list(islice(remaining, _AT_ONCE)):
        yield some
