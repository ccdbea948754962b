"""Issue 4, line 1: no fault of an origin makes a client take wrong content for right.

Every fault against one origin and with a good second one, for content that is verified before its
head and for content that is not. What comes of a cell is a right file, an honest status, or a
visible break; with a good second origin it is the right file, but for one cell: a large file with a
wrong digest, which nobody knows of before the last byte. The run prints the table.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from faulty_origins import PLACED, TOLD, FaultyOrigins
from matrix import (
    ALONE_OVER_HTTP,
    ALWAYS_RIGHT,
    UNSEEN_IN_TIME,
    cells,
    outcome,
    record,
)
from processes import Streamer, entry

ORIGINS = ("one origin", "a good second one")
AT_ONCE = 6
LIMITS = {"delivery__first_byte": "4s", "delivery__idle": "1s"}

TOO_LATE = dict.fromkeys(("wrong-digest", "cut-50-then-lies"), UNSEEN_IN_TIME)
"""The same with a good second origin, where that is not the right file."""

CELLS = cells([*PLACED, *TOLD], ORIGINS)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What came of each cell: a promise, since some are asked at once and some take their time."""
    folder = tmp_path_factory.mktemp("matrix")
    contents = {cell.path: cell.content for cell in CELLS}
    with FaultyOrigins(contents, folder) as origins, Streamer(folder, **LIMITS) as service:
        entries = {
            cell.path: {**entry(cell.path, cell.content), "sources": sources(cell, origins)}
            for cell in CELLS
        }
        service.publish("matrix", origins.good_url(""), entries)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield {cell: pool.submit(outcome, service, "matrix", cell) for cell in CELLS}
        assert service.tracebacks() == []


def sources(cell, origins):
    """The faulty origin, and behind it the good one if there is one."""
    faulty = {"url": origins.url(cell.fault, cell.path), "priority": 0}
    good = {"url": origins.good_url(cell.path), "priority": 1}
    return [faulty] if cell.origins == ORIGINS[0] else [faulty, good]


def promised(cell):
    by_fault = ALONE_OVER_HTTP if cell.origins == ORIGINS[0] else TOO_LATE
    return cell.of(by_fault.get(cell.fault, ALWAYS_RIGHT))


@pytest.mark.parametrize("cell", CELLS, ids=", ".join)
def test_fault_ends_as_promised(cell, found, record_property):
    """The client has the right file, or knows that it has not."""
    ended = found[cell].result()
    record(record_property, "faults of origins", cell, [ended])

    assert ended == promised(cell)
