"""Issue 4, line 1: no fault of an origin makes a client take wrong content for right.

Every fault against one origin and with a good second one, for content that is verified before its
head and for content that is not. What comes of a cell is a right file, an honest status, or a
visible break; with a good second origin it is the right file, but for one cell: a large file with a
wrong digest, which nobody knows of before the last byte. The run prints the table.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from faulty_origins import KIB, PLACED, TOLD, FaultyOrigins
from judging import BREAK, RIGHT, honest, outcome_of
from processes import Streamer, entry

SHARED = random.Random(41).randbytes(3 * 1024 * KIB)
SIZES = {"small": 20 * KIB, "large": 3 * 1024 * KIB}
ORIGINS = ("one origin", "a good second one")
AT_ONCE = 6
LIMITS = {"delivery__first_byte": "4s", "delivery__idle": "1s"}

BAD, SLOW = honest(502), honest(504)
ALONE = {
    "refused": (BAD, BAD),
    "dns": (BAD, BAD),
    "tls": (BAD, BAD),
    "404": (honest(404), honest(404)),
    "403": (BAD, BAD),
    "500": (BAD, BAD),
    "503-retry-after": (BAD, BAD),
    "slow-head": (SLOW, SLOW),
    "stall-0": (SLOW, BREAK),
    "cut-0": (BAD, BREAK),
    "stall-50": (SLOW, BREAK),
    "reset-50": (BAD, BREAK),
    "cut-50": (BAD, BREAK),
    "cut-50-chunked": (BAD, BREAK),
    "last-chunk-missing": (RIGHT, RIGHT),
    "wrong-size": (BAD, BAD),
    "wrong-digest": (BAD, BREAK),
    "redirect-loop": (BAD, BAD),
    "redirect-on-and-on": (BAD, BAD),
    "gzip-lie-labelled": (RIGHT, RIGHT),
    "gzip-lie-packed": (BAD, BAD),
    "cut-each-256KiB-with-ranges": (RIGHT, RIGHT),
}
"""What comes of a fault of the only origin, small and large.

Bytes that are right are served, whatever coding their label claims and however they end; and an
origin that breaks off heals itself where it knows ranges and each part brings the transfer on.
"""
TOO_LATE = {"wrong-digest": (RIGHT, BREAK)}
"""The same with a good second origin, where that is not the right file."""


class Cell(NamedTuple):
    """One fault, of one origin or beside a good one, for one size."""

    fault: str
    origins: str
    size: str

    @property
    def path(self):
        return "/".join(self).replace(" ", "-")

    @property
    def content(self):
        """Its own, since what breaks off is distrusted and what is wrong is quarantined."""
        mark = self.path.encode()
        return mark + SHARED[len(mark) : SIZES[self.size]]

    @property
    def promised(self):
        by_size = ALONE if self.origins == ORIGINS[0] else TOO_LATE
        return by_size.get(self.fault, (RIGHT, RIGHT))[list(SIZES).index(self.size)]


CELLS = [
    Cell(fault, origins, size)
    for fault in [*PLACED, *TOLD]
    for origins in ORIGINS
    for size in SIZES
]


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
            yield {
                cell: pool.submit(outcome_of, f"{service.url}matrix/{cell.path}", cell.content)
                for cell in CELLS
            }
        assert service.tracebacks() == []


def sources(cell, origins):
    """The faulty origin, and behind it the good one if there is one."""
    faulty = {"url": origins.url(cell.fault, cell.path), "priority": 0}
    good = {"url": origins.good_url(cell.path), "priority": 1}
    return [faulty] if cell.origins == ORIGINS[0] else [faulty, good]


@pytest.mark.parametrize("cell", CELLS, ids=", ".join)
def test_fault_ends_as_promised(cell, found, record_property):
    """The client has the right file, or knows that it has not."""
    outcome = found[cell].result()
    record_property(
        "matrix", ("faults of origins", cell.fault, f"{cell.origins}, {cell.size}", outcome)
    )

    assert outcome == cell.promised
