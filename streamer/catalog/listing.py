"""What lies directly in a folder: an indexed skip scan over entries, merged with base paths.

Strategy: the key's order is the order of a tree (`tables`), so the names of a folder come in
their byte order, and behind the first path of a sub-folder the scan jumps over all others. How
many rows one statement reads adapts: it doubles while every row brought a name, and falls back
when rows were read for nothing. A folder of a million files and one of ten folders with a million
files each cost about one index probe per name that is shown.

Separate from `reading`, which knows single paths. Shows current publications only, and nothing
that `resolve` would not answer: a base path hides a file of the same name above it. Of what lies
below a pass-through distribution it shows other base paths alone; the rest its origin knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter

from sqlalchemy import Connection, Integer, bindparam, not_, select

from streamer.catalog.paths import MAX_PATH_BYTES, below, is_storable
from streamer.catalog.reading import answering, is_withdrawn
from streamer.catalog.tables import BEHIND, AnyRow, distributions, entries, publications
from streamer.errors import PathNotPublished
from streamer.model import Folder, FolderItem

FEWEST_ROWS = 4
MOST_ROWS = 1024

LAST = chr(0x10FFFF) * MAX_PATH_BYTES
"""No path comes behind it."""

_NEXT_ENTRIES = (
    select(entries.c.path, entries.c.size, entries.c.last_modified)
    .join(publications, publications.c.id == entries.c.publication_id)
    .where(
        entries.c.publication_id == bindparam("publication"),
        entries.c.path > bindparam("start"),
        entries.c.path < bindparam("end"),
        not_(is_withdrawn()),
    )
    .order_by(entries.c.path)
    .limit(bindparam("rows", type_=Integer))
)

_NEXT_BASE_PATH = (
    select(distributions.c.base_path)
    .where(
        distributions.c.base_path > bindparam("start"),
        distributions.c.base_path < bindparam("end"),
    )
    .order_by(distributions.c.base_path)
    .limit(1)
)

_DISTRIBUTION, _FILE, _FOLDER = range(3)
"""Ranks of what one name may be; a distribution is a folder that hides a file of its name."""

_Found = tuple[str, int, FolderItem]


def list_folder(connection: Connection, path: str, after: str, limit: int) -> Folder:
    """List one page of a folder, as `interfaces.Catalog.list_folder` says.

    A file and a folder of one name are two items of that name and never parted by a page. A
    distribution's own folder exists while it is published, empty or not, and so does the root.
    """
    if not (is_storable(path) and is_storable(after)) or (path and not path.endswith("/")):
        raise PathNotPublished
    names = _names(connection, path, after.partition("/")[0])
    page = [item for items in islice(names, limit) for item in items]
    if not page and not _exists(connection, path):
        raise PathNotPublished
    return Folder(path, tuple(page), more=next(names, None) is not None)


def _names(connection: Connection, path: str, after: str) -> Iterator[list[FolderItem]]:
    """What each name of a folder stands for, in byte order of the names."""
    found = merge(
        _distributions_below(connection, path, after),
        _entries_below(connection, path, after),
        key=itemgetter(0, 1),
    )
    for _, same_name in groupby(found, key=itemgetter(0)):
        yield _items(same_name)


def _items(same_name: Iterable[_Found]) -> list[FolderItem]:
    by_rank: dict[int, FolderItem] = {}
    for _, rank, item in same_name:
        by_rank.setdefault(rank, item)
    if _DISTRIBUTION in by_rank:
        return [by_rank[_DISTRIBUTION]]
    return [by_rank[rank] for rank in (_FILE, _FOLDER) if rank in by_rank]


def _exists(connection: Connection, path: str) -> bool:
    if not path:
        return True
    current = _shown(connection, path)
    is_base_path = current is not None and f"{current.base_path}/" == path
    return is_base_path or next(_names(connection, path, ""), None) is not None


def _shown(connection: Connection, path: str) -> AnyRow | None:
    """What a folder shows, of the longest base path that it is in; see `reading.answering`."""
    without_grace = math.inf
    return next(iter(answering(connection, path[:-1], without_grace)), None)


def _distributions_below(connection: Connection, path: str, after: str) -> Iterator[_Found]:
    start = _start(path, after)
    while True:
        base_path = connection.scalar(_NEXT_BASE_PATH, {"start": start, "end": _end(path)})
        if base_path is None:
            return
        name, slash, _ = base_path[len(path) :].partition("/")
        yield name, _FOLDER if slash else _DISTRIBUTION, FolderItem(name, is_folder=True)
        start = path + name + BEHIND


def _entries_below(connection: Connection, path: str, after: str) -> Iterator[_Found]:
    publication = _shown(connection, path) if path else None
    if publication is None or publication.id is None:
        return
    folder = below(publication.base_path, path)
    start, rows_wanted, last_folder = _start(folder, after), FEWEST_ROWS, None
    while True:
        rows = _scan(connection, publication, folder, start, rows_wanted)
        names = 0
        for row in rows:
            name, slash, _ = row.path[len(folder) :].partition("/")
            if not slash:
                yield name, _FILE, _file(name, row, publication)
            elif name != last_folder:
                yield name, _FOLDER, FolderItem(name, is_folder=True)
            else:
                continue
            names += 1
            last_folder = name if slash else None
        if len(rows) < rows_wanted:
            return
        start = rows[-1].path if last_folder is None else folder + last_folder + BEHIND
        rows_wanted = min(2 * rows_wanted, MOST_ROWS) if names == rows_wanted else FEWEST_ROWS


def _start(folder: str, after: str) -> str:
    return folder + after + BEHIND if after else folder


def _end(folder: str) -> str:
    """The first key behind a folder; of the root, behind everything that can be a path."""
    return folder[:-1] + BEHIND if folder else LAST


def _scan(
    connection: Connection, publication: AnyRow, folder: str, start: str, rows_wanted: int
) -> list[AnyRow]:
    """The next entries in a folder, at any depth, that are not withdrawn."""
    wanted = {
        "publication": publication.id,
        "start": start,
        "end": _end(folder),
        "rows": rows_wanted,
    }
    return list(connection.execute(_NEXT_ENTRIES, wanted))


def _file(name: str, row: AnyRow, publication: AnyRow) -> FolderItem:
    modified = publication.published_at if row.last_modified is None else row.last_modified
    return FolderItem(name, is_folder=False, size=row.size, last_modified=int(modified))
