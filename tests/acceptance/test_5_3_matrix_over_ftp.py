"""Issue 5, line 3, over FTP: no fault of a server makes a client take wrong content for right.

Every fault of one server alone, and with a good second source over FTP or over HTTP, for content
that is verified before its head and for content that is not. FTP has no head that says how much
will come, so what breaks off looks like what ends, and only SIZE, the last reply and the catalog
tell the two apart. The run prints the table.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from certificates import Authority
from faulty_ftp_origins import PLACED, TOLD, TOLD_UNDER_TLS, FaultyFtpOrigins
from judging import BREAK, RIGHT
from matrix import (
    ALWAYS_RIGHT,
    BAD,
    BUSY,
    MISSING,
    SLOW,
    UNSEEN_IN_TIME,
    cells,
    create_importers,
    outcomes,
    record,
)
from origins import Origin
from processes import Streamer, entry
from ranged_origins import serves_by_target, serves_ranges

ORIGINS = ("alone", "a good one over FTP", "a good one over HTTP")
AT_ONCE = 6
LIMITS = {"delivery__first_byte": "8s", "delivery__idle": "4s"}

ALONE = {
    "refused": (BAD, BAD),
    "dns": (BAD, BAD),
    "tls": (BAD, BAD),
    "AUTH-refused": (BAD, BAD),
    "another-protocol": (BAD, BAD),
    "slow-greeting": (SLOW, SLOW),
    "endless-reply": (BAD, BAD),
    "421-at-once": (BUSY, BUSY),
    "530-login": (BAD, BAD),
    "530-too-many": (BUSY, BUSY),
    "550-missing": (MISSING, MISSING),
    "550-at-RETR": (MISSING, MISSING),
    "550-forbidden": (BAD, BAD),
    "421-at-RETR": (BUSY, BUSY),
    "451": (BAD, BAD),
    "451-once": (RIGHT, RIGHT),
    "PASV-elsewhere": (BAD, BAD),
    "port-refused": (BAD, BAD),
    "stall-before-150": (SLOW, SLOW),
    "stall-0": (SLOW, BREAK),
    "cut-0-226": (BAD, BREAK),
    "stall-50": (SLOW, BREAK),
    "reset-50": (BAD, BREAK),
    "cut-50-226": (BAD, BREAK),
    "cut-50-426": (BAD, BREAK),
    "cut-50-hangs-up": (BAD, BREAK),
    "cut-50-silence": (BAD, BREAK),
    "cut-50-226-no-SIZE": (BAD, BREAK),
    "all-426": (RIGHT, RIGHT),
    "all-silence": (RIGHT, RIGHT),
    "all-hangs-up-no-SIZE": (RIGHT, RIGHT),
    "SIZE-one-less": (BAD, BAD),
    "SIZE-one-more": (BAD, BAD),
    "more-than-SIZE": (RIGHT, RIGHT),
    "more-no-SIZE": (BAD, BREAK),
    "wrong-digest": (BAD, BREAK),
    "cut-each-256KiB": (RIGHT, RIGHT),
    "cut-each-256KiB-REST-refused": (RIGHT, BREAK),
    "cut-50-REST-ignored": (BAD, BREAK),
    "TLS-cut-50": (BAD, BREAK),
    "TLS-cut-50-no-SIZE": (BAD, BREAK),
    "TLS-all-torn": (RIGHT, RIGHT),
    "TLS-content-in-the-clear": (BAD, BAD),
}
"""What comes of a fault of the only server, small and large.

Bytes that are right are served, whatever was said of them behind; a server that breaks off heals
itself where it knows REST and each part brings the transfer on.
"""
TOO_LATE = dict.fromkeys(("more-no-SIZE", "wrong-digest", "cut-50-REST-ignored"), UNSEEN_IN_TIME)
"""The same with a good second source, where that is not the right file.

There is one byte more than anybody said, one is another, or what was sent on from the middle was
the beginning again: nobody knows before the end, and what has gone to the client cannot be mended.
"""

CELLS = cells([*PLACED, *TOLD, *TOLD_UNDER_TLS], ORIGINS)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What came of each cell: a promise, since some are asked at once and some take their time."""
    folder = tmp_path_factory.mktemp("ftp")
    authority = Authority()
    faults = {cell.path: (cell.fault, cell.content) for cell in CELLS}
    good = {cell.path: serves_ranges(cell.content) for cell in CELLS}
    with (
        FaultyFtpOrigins(faults, folder, authority) as origins,
        Origin(serves_by_target(good)) as over_http,
        Streamer(folder, **LIMITS) as service,
    ):
        common = {"url": "ftp://127.0.0.1/", "ca_cert": authority.pem, "download_concurrency": 100}
        configs = {"ftp": common, "ftp-AUTH": common | {"explicit_tls": True}}
        create_importers(service, {name: ("ftp", config) for name, config in configs.items()})
        entries = {
            cell.path: {
                **entry(cell.path, cell.content),
                "sources": sources(cell, origins, over_http),
            }
            for cell in CELLS
        }
        service.publish("matrix", over_http.url, entries)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield {
                cell: pool.submit(outcomes, service, "matrix", cell, times=times(cell))
                for cell in CELLS
            }
        assert service.tracebacks() == []


def sources(cell, origins, over_http):
    """The faulty server, and behind it the good one if there is one."""
    importer = "ftp-AUTH" if cell.fault == "AUTH-refused" else "ftp"
    faulty = {"importer": importer, "url": origins.url(cell.path), "priority": 0}
    good = {
        "a good one over FTP": [{"importer": "ftp", "url": origins.good_url(cell.path)}],
        "a good one over HTTP": [{"url": f"{over_http.url}{cell.path}"}],
    }
    return [faulty, *({**each, "priority": 1} for each in good.get(cell.origins, []))]


def promised(cell):
    """What each time that it is asked for comes to."""
    by_fault = ALONE if cell.origins == ORIGINS[0] else TOO_LATE
    first = cell.of(by_fault.get(cell.fault, ALWAYS_RIGHT))
    return [first, RIGHT][: times(cell)]


def times(cell):
    """Twice where a fault is seen too late: then the good one is asked."""
    return 2 if cell.fault in TOO_LATE and cell.origins != ORIGINS[0] else 1


@pytest.mark.parametrize("cell", CELLS, ids=", ".join)
def test_fault_of_an_ftp_server_ends_as_promised(cell, found, record_property):
    """The client has the right file, or knows that it has not."""
    ended = found[cell].result()
    record(record_property, "faults of FTP servers", cell, ended)

    assert ended == promised(cell)
