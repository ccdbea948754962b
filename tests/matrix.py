"""What is common to the matrices of faults: their cells, how one is tried, where its outcome goes.

A cell is one fault, in one surrounding, for one size. It has content of its own, since what breaks
off is distrusted and what is wrong is quarantined, and so nothing is learned from one for another.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from faulty_origins import KIB
from judging import BREAK, RIGHT, honest, outcome_of

from streamer.catalog import open_store
from streamer.importers import Registry, normalised, split_config

SIZES = {"small": 20 * KIB, "large": 3 * 1024 * KIB}
"""What is verified before its head, and what is not."""
SHARED = random.Random(41).randbytes(max(SIZES.values()))

BAD, BUSY, SLOW, MISSING = honest(502), honest(503), honest(504), honest(404)
ALWAYS_RIGHT = (RIGHT, RIGHT)
UNSEEN_IN_TIME = (RIGHT, BREAK)
"""A fault that nobody knows of before the last byte, small and large."""

ALONE_OVER_HTTP = {
    "refused": (BAD, BAD),
    "dns": (BAD, BAD),
    "tls": (BAD, BAD),
    "404": (MISSING, MISSING),
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
    "cut-50-then-lies": (BAD, BREAK),
}
"""What comes of a fault of the only origin, small and large.

Bytes that are right are served, whatever coding their label claims and however they end; and an
origin that breaks off heals itself where it knows ranges and each part brings the transfer on.
"""


class Cell(NamedTuple):
    """One fault, among some origins, for one size."""

    fault: str
    origins: str
    size: str

    @property
    def path(self):
        return "/".join(self).replace(" ", "-")

    @property
    def name(self):
        """The name of an importer of its own."""
        return self.path.replace("/", ".")

    @property
    def content(self):
        mark = self.path.encode()
        return mark + SHARED[len(mark) : SIZES[self.size]]

    def of(self, by_size):
        """What a pair of small and large says of this one."""
        return by_size[list(SIZES).index(self.size)]


def cells(faults, origins, sizes=tuple(SIZES)):
    """Make all cells, row by row."""
    return [Cell(fault, each, size) for fault in faults for each in origins for size in sizes]


def outcome(service, base_path, cell):
    """Fetch what a cell stands for."""
    return outcome_of(f"{service.url}{base_path}/{cell.path}", cell.content)


def outcomes(service, base_path, cell, *, times):
    """Fetch it so many times, one after the other."""
    return [outcome(service, base_path, cell) for _ in range(times)]


def record(record_property, title, cell, ended):
    """Put what it ended in, time by time, into the table of that title; the run prints it."""
    column = f"{cell.origins}, {cell.size}"
    said = ", then ".join(dict.fromkeys(ended))
    record_property("matrix", (title, cell.fault, column, said))


def create_importers(service, configs):
    """Create importers by `{name: (type, config)}`, many in the time that a command takes."""
    registry = Registry()
    with open_store(service.catalog_url) as store:
        for name, (type_name, config) in configs.items():
            kind = registry.type(type_name)
            plain, _ = split_config(kind, normalised(kind, config))
            store.create_importer(name, type_name, plain)
