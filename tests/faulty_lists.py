"""Services that give lists of mirrors, with one fault each: the rows of a matrix.

Those that a list has in common with all content are told as `faulty_origins` tells them, the others
here. Each is on a port of its own, and good until it is told to go wrong.
"""

from __future__ import annotations

import gzip

import faulty_origins
from certificates import Authority
from origins import Origin, serves

COMMON = (
    *("404", "403", "500", "503-retry-after", "slow-head", "stall-0", "cut-0", "stall-50"),
    *("reset-50", "cut-50", "cut-50-chunked", "last-chunk-missing", "redirect-loop"),
    *("redirect-on-and-on", "gzip-lie-labelled", "gzip-lie-packed"),
)
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in</body></html>\n"
HTML = ("Content-Type: text/html",)
COMMENT = b"# a mirror is somewhere else\n"


def answers(content, fields=()):
    """Something else than the list."""
    return lambda listed: serves(content, fields)


def comes_without_end(conversation):
    """A list that goes on for as long as somebody takes it."""
    conversation.connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        conversation.connection.sendall(COMMENT * 1000)


def has_moved(listed):
    """A list that lies elsewhere, which is no fault."""

    def behaviour(conversation):
        if conversation.target == b"/moved":
            return serves(listed)(conversation)
        return serves(b"", ("Location: /moved",), b"302 Found")(conversation)

    return behaviour


OWN = {
    "web-page": answers(PAGE, HTML),
    "web-page-as-text": answers(PAGE, ("Content-Type: text/plain",)),
    "empty": answers(b""),
    "comments-only": answers(COMMENT * 3),
    "no-text": answers(b"\x00\x01\x02\x03" * 100),
    "compressed-file": lambda listed: serves(gzip.compress(listed)),
    "other-protocols": answers(b"rsync://127.0.0.1/fedora/\nftp://127.0.0.1/fedora/\n"),
    "unfilled-variables": answers(b"http://127.0.0.1/$releasever/$basearch/\n"),
    "too-many-lines": answers(b"http://127.0.0.1/\n" * 10_001),
    "endless": lambda listed: comes_without_end,
    "redirect": has_moved,
}
TOLD = {name: faulty_origins.TOLD[name] for name in COMMON} | OWN
"""By fault: given the right list, the behaviour that tells it."""

PLACED = ("refused", "dns", "tls")
"""Faults that lie in the way to it."""


class FaultyList:
    """One service of a list, which goes wrong when it is told to `fail`."""

    def __init__(self, fault, listed, folder, authority):
        self.fault = fault
        self._listed = listed
        self._folder = folder
        self._tls = authority.server_context(folder) if fault == "tls" else None
        self._origin = Origin(serves(listed), tls=self._tls)
        self.url = "http://nobody.invalid/" if fault == "dns" else self._origin.url

    def __enter__(self):
        self._origin.__enter__()
        return self

    def __exit__(self, *_):
        self._origin.stop()

    def fail(self):
        """Go wrong, at the next connection."""
        if self.fault in TOLD:
            self._origin.behaviour = TOLD[self.fault](self._listed)
        elif self.fault == "refused":
            self._origin.stop()
        elif self.fault == "tls":
            self._tls.load_cert_chain(Authority().server_file(self._folder))

    def requests(self):
        """How often it was asked."""
        return self._origin.requests()
