"""Issue 5, line 3, over mirrors: no fault of a mirror makes a client take wrong content for right.

Every fault of an origin, at the first mirror of a list: alone on it, and with a good second one,
for content that is verified before its head and for content that is not. The entries say where a
file lies below a mirror, and nothing of mirrors. The run prints the table.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from faulty_origins import PLACED, TOLD, FaultyOrigins
from judging import RIGHT
from matrix import (
    ALONE_OVER_HTTP,
    ALWAYS_RIGHT,
    UNSEEN_IN_TIME,
    cells,
    create_importers,
    outcomes,
    record,
)
from origins import Origin, serves
from processes import Streamer, entry
from ranged_origins import serves_by_target

MIRRORS = ("one mirror", "a good second one")
AT_ONCE = 6
LIMITS = {"delivery__first_byte": "12s", "delivery__idle": "4s"}

TOO_LATE = dict.fromkeys(("wrong-digest", "cut-50-then-lies"), UNSEEN_IN_TIME)
"""The same with a good second mirror, where that is not the right file."""

CELLS = cells([*PLACED, *TOLD], MIRRORS)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What came of each cell: a promise, since some are asked at once and some take their time."""
    folder = tmp_path_factory.mktemp("mirrors")
    with FaultyOrigins({cell.path: cell.content for cell in CELLS}, folder) as origins:
        lists = {cell.path: serves(mirrorlist(cell, origins)) for cell in CELLS}
        with Origin(serves_by_target(lists)) as listing, Streamer(folder, **LIMITS) as service:
            configs = {
                cell.name: {"url": f"{listing.url}{cell.path}", "allow_private_redirects": True}
                for cell in CELLS
            }
            create_importers(service, {name: ("mirrors", each) for name, each in configs.items()})
            entries = {
                cell.path: {
                    **entry(cell.path, cell.content),
                    "sources": [{"importer": cell.name, "url": cell.path}],
                }
                for cell in CELLS
            }
            service.publish("matrix", listing.url, entries)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                yield {
                    cell: pool.submit(outcomes, service, "matrix", cell, times=times(cell))
                    for cell in CELLS
                }
            assert service.tracebacks() == []


def mirrorlist(cell, origins):
    """The faulty mirror, and behind it the good one if there is one."""
    faulty = origins.url(cell.fault, cell.path).removesuffix(cell.path)
    mirrors = [faulty] if cell.origins == MIRRORS[0] else [faulty, origins.good_url("")]
    return "".join(f"{mirror}\n" for mirror in mirrors).encode()


def promised(cell):
    """What each time that it is asked for comes to."""
    by_fault = ALONE_OVER_HTTP if cell.origins == MIRRORS[0] else TOO_LATE
    first = cell.of(by_fault.get(cell.fault, ALWAYS_RIGHT))
    return [first, RIGHT][: times(cell)]


def times(cell):
    """Twice where a fault is seen too late: then the good one is asked."""
    return 2 if cell.fault in TOO_LATE and cell.origins != MIRRORS[0] else 1


@pytest.mark.parametrize("cell", CELLS, ids=", ".join)
def test_fault_of_a_mirror_ends_as_promised(cell, found, record_property):
    """The client has the right file, or knows that it has not."""
    ended = found[cell].result()
    record(record_property, "faults of mirrors", cell, ended)

    assert ended == promised(cell)
