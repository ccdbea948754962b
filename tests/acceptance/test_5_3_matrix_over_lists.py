"""Issue 5, line 3, over lists of mirrors: no fault of a list is worse than an honest status.

Every fault of the service that gives a list, for content of which there is no other source; where
the list was good before and is kept, which is refreshed in vain behind the client's back; and where
a second source has another importer. The run prints the table.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from certificates import Authority
from faulty_lists import COMMENT, PLACED, TOLD, FaultyList
from judging import RIGHT
from matrix import BAD, SLOW, cells, create_importers, outcome, record
from origins import Origin
from processes import Streamer, entry
from ranged_origins import serves_by_target, serves_ranges

ALONE, KNOWN, BESIDE = ORIGINS = ("alone", "known before", "a second source")
AT_ONCE = 6
LIMITS = {"delivery__first_byte": "12s", "delivery__idle": "4s"}
REFRESH_SECONDS = 10
NOTICE_SECONDS = 30

ENDS = {
    "refused": BAD,
    "dns": BAD,
    "tls": BAD,
    "404": BAD,
    "403": BAD,
    "500": BAD,
    "503-retry-after": BAD,
    "slow-head": SLOW,
    "stall-0": SLOW,
    "cut-0": BAD,
    "stall-50": SLOW,
    "reset-50": BAD,
    "cut-50": BAD,
    "cut-50-chunked": RIGHT,
    "last-chunk-missing": BAD,
    "redirect-loop": BAD,
    "redirect-on-and-on": BAD,
    "gzip-lie-labelled": RIGHT,
    "gzip-lie-packed": BAD,
    "web-page": BAD,
    "web-page-as-text": BAD,
    "empty": BAD,
    "comments-only": BAD,
    "no-text": BAD,
    "compressed-file": BAD,
    "other-protocols": BAD,
    "unfilled-variables": BAD,
    "too-many-lines": BAD,
    "endless": BAD,
    "redirect": RIGHT,
}
"""What comes of a fault of the only list; with an older one, or a second source, it is right.

A list that is missing is no content that is missing, so it is never 404. A list that breaks off is
none; but where half of one ends as a whole one does, nobody can tell, and its mirrors serve.
"""

CELLS = [
    cell
    for cell in cells([*PLACED, *TOLD], ORIGINS, ["small"])
    # A name that was known and is not any more is nothing that a test can have.
    if (cell.fault, cell.origins) != ("dns", KNOWN)
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What came of each cell: a promise, since some are asked at once and some take their time."""
    folder = tmp_path_factory.mktemp("lists")
    authority = Authority()
    with contextlib.ExitStack() as stack:
        mirror = stack.enter_context(
            Origin(serves_by_target({cell.path: serves_ranges(cell.content) for cell in CELLS}))
        )
        listed = f"{mirror.url}\n".encode() + COMMENT * 100
        lists = {
            cell: stack.enter_context(FaultyList(cell.fault, listed, folder, authority))
            for cell in CELLS
        }
        service = stack.enter_context(Streamer(folder, **LIMITS))
        publish(service, lists, mirror, authority)
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        yield ask_all(service, lists, pool)
        pool.shutdown()
        assert service.tracebacks() == []


def publish(service, lists, mirror, authority):
    """Each cell has an importer of its own, and a second source if it says so."""
    common = {
        "refresh": REFRESH_SECONDS,
        "keep_alive": 0,
        "ca_cert": authority.pem,
        "allow_private_redirects": True,
    }
    configs = {cell.name: common | {"url": each.url} for cell, each in lists.items()}
    create_importers(service, {name: ("mirrors", config) for name, config in configs.items()})
    entries = {}
    for cell in CELLS:
        listed = {"importer": cell.name, "url": cell.path, "priority": 0}
        beside = {"url": f"{mirror.url}{cell.path}", "priority": 1}
        sources = [listed, beside] if cell.origins == BESIDE else [listed]
        entries[cell.path] = {**entry(cell.path, cell.content), "sources": sources}
    service.publish("matrix", mirror.url, entries)


def ask_all(service, lists, pool):
    """Let those lists become known that are known before; then all of them fail."""
    known = [cell for cell in CELLS if cell.origins == KNOWN]
    first = list(pool.map(lambda cell: outcome(service, "matrix", cell), known))
    stale_at = time.monotonic() + REFRESH_SECONDS
    for each in lists.values():
        each.fail()
    asked = {
        cell: pool.submit(lambda cell: [outcome(service, "matrix", cell)], cell)
        for cell in CELLS
        if cell.origins != KNOWN
    }
    for cell, before in zip(known, first, strict=True):
        asked[cell] = pool.submit(ask_stale, service, cell, lists[cell], stale_at, before)
    return asked


def ask_stale(service, cell, listing, stale_at, before):
    """Ask when the list is too old, which is when it is asked for anew, and once more behind that.

    Gives what came of it, and of asking `before`.
    """
    time.sleep(max(0, stale_at - time.monotonic()))
    first = outcome(service, "matrix", cell)
    wait_for_refresh(service, listing)
    return [before, first, outcome(service, "matrix", cell)]


def wait_for_refresh(service, listing):
    """Wait until it has failed, or has been begun where it does not fail, or not soon."""
    deadline = time.monotonic() + NOTICE_SECONDS
    fails = ENDS[listing.fault] == BAD
    while not (failed(service, listing) if fails else listing.requests() > 1):
        assert time.monotonic() < deadline, "the list was not asked for again"
        time.sleep(0.1)


def failed(service, listing):
    where = listing.url.rstrip("/")
    lines = [
        line for line in service.log_text().splitlines() if "the last one stays in use" in line
    ]
    return any(f"{where} " in line for line in lines)


def promised(cell):
    """What each time that it is asked for comes to."""
    by_origins = {ALONE: [ENDS[cell.fault]], KNOWN: [RIGHT] * 3, BESIDE: [RIGHT]}
    return by_origins[cell.origins]


@pytest.mark.parametrize("cell", CELLS, ids=", ".join)
def test_fault_of_a_list_ends_as_promised(cell, found, record_property):
    """The client has the right file, or an honest status."""
    ended = found[cell].result()
    record(record_property, "faults of lists of mirrors", cell, ended)

    assert ended == promised(cell)
