"""Origins with one fault each, and for good: the rows of a matrix.

A fault is told by a behaviour of `origins`, or it lies in the URL: a port that refuses, a name that
nobody knows, a certificate that nobody signed. One server tells all of them, each under an address
of its own, so that what a service learns about the health of one origin says nothing of another.
"""

from __future__ import annotations

import contextlib
import gzip
import time

from certificates import Authority
from origins import Origin, cuts, falls_silent, flipped, says, serves, serves_chunked
from processes import NOBODYS_PORT
from ranged_origins import asked_range, serves_by_target, serves_ranges

KIB = 1024
STEP = 256 * KIB
DRIBBLE_SECONDS = 0.25
RETRY_AFTER_SECONDS = 30


def half(content):
    """Where an origin gives up that gives up at 50 %."""
    return len(content) // 2


def dribbles_head(conversation):
    """An origin whose head never ends, though something always comes."""
    conversation.connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        conversation.connection.sendall(b"X-Field: more\r\n")
        time.sleep(DRIBBLE_SECONDS)


def redirects_to_itself(conversation):
    """An origin that sends whoever asks to ask again."""
    location = f"Location: {conversation.target.decode()}"
    return serves(b"", (location,), b"302 Found")(conversation)


def redirects_on_and_on(conversation):
    """An origin that names another place each time, and has nothing at any."""
    target = conversation.target.decode()
    location = f"Location: {target}{'&' if '?' in target else '?'}on"
    return serves(b"", (location,), b"302 Found")(conversation)


def cuts_and_then_lies(content):
    """An origin that breaks off in the middle and, asked for the rest, sends another one."""
    wrong = flipped(content, half(content) + 100)

    def behaviour(conversation):
        asked = asked_range(conversation, len(content))
        if asked is None:
            return cuts(content, half(content))(conversation)
        first, last = asked
        lines = [f"Content-Length: {last - first + 1}"]
        lines.append(f"Content-Range: bytes {first}-{last}/{len(content)}")
        head = "".join(f"{line}\r\n" for line in ["HTTP/1.1 206 Partial Content", *lines, ""])
        conversation.send(head.encode() + wrong[first : (first + last) // 2])
        return False

    return behaviour


def cuts_each(content, step=STEP):
    """An origin that knows ranges and closes each connection `step` bytes after the head."""
    tells = serves_ranges(content)

    def behaviour(conversation):
        asked = asked_range(conversation, len(content))
        first, last = asked or (0, len(content) - 1)
        if last - first < step:
            return tells(conversation)
        status = "200 OK" if asked is None else "206 Partial Content"
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {last - first + 1}"]
        if asked is not None:
            lines.append(f"Content-Range: bytes {first}-{last}/{len(content)}")
        conversation.send("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        conversation.send(content[first : first + step])
        return False

    return behaviour


def refuses(status, fields=()):
    """An origin that has nothing but this status."""
    return lambda content: serves(b"sorry", fields, status)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n"

TOLD = {
    "404": refuses(b"404 Not Found"),
    "403": refuses(b"403 Forbidden"),
    "500": refuses(b"500 Internal Server Error"),
    "503-retry-after": refuses(
        b"503 Service Unavailable", (f"Retry-After: {RETRY_AFTER_SECONDS}",)
    ),
    "slow-head": lambda content: dribbles_head,
    "stall-0": lambda content: falls_silent(content, 0),
    "cut-0": lambda content: cuts(content, 0),
    "stall-50": lambda content: falls_silent(content, half(content)),
    "reset-50": lambda content: cuts(content, half(content), reset=True),
    "cut-50": lambda content: cuts(content, half(content)),
    "cut-50-chunked": lambda content: serves_chunked(content[: half(content)]),
    "last-chunk-missing": lambda content: says(CHUNKED % (len(content), content)),
    "wrong-size": lambda content: serves(content + b"x"),
    "wrong-digest": lambda content: serves(flipped(content, half(content))),
    "redirect-loop": lambda content: redirects_to_itself,
    "redirect-on-and-on": lambda content: redirects_on_and_on,
    "gzip-lie-labelled": lambda content: serves(content, ("Content-Encoding: gzip",)),
    "gzip-lie-packed": lambda content: serves(gzip.compress(content), ("Content-Encoding: gzip",)),
    "cut-each-256KiB-with-ranges": cuts_each,
    "cut-50-then-lies": cuts_and_then_lies,
}
"""By fault: given the right content, the behaviour that tells it."""

PLACED = ("refused", "dns", "tls")
"""Faults that lie in the URL."""


class FaultyOrigins:
    """All faults for some contents: `url(fault, name)` of each, and `good_url(name)` of none."""

    def __init__(self, contents, folder):
        self._faults = [*PLACED, *TOLD]
        self._names = list(contents)
        self._closed_port = NOBODYS_PORT
        good = {name: serves_ranges(content) for name, content in contents.items()}
        unknown = Authority().server_context(folder)
        self._good = Origin(serves_by_target(good))
        self._origin = Origin(tells(contents), address="0.0.0.0")
        self._untrusted = Origin(serves_by_target(good), tls=unknown, address="0.0.0.0")

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for origin in (self._good, self._origin, self._untrusted):
                stack.enter_context(origin)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def good_url(self, name):
        """Where the content is served as it should be."""
        return f"{self._good.url}{name}"

    def url(self, fault, name, number=0):
        """Where a fault is told of a content; each number is another origin to the service."""
        address = f"127.{1 + number}.{1 + self._faults.index(fault)}.{1 + self._names.index(name)}"
        if fault == "refused":
            return f"http://{address}:{self._closed_port}/{name}"
        if fault == "dns":
            return f"http://nobody-{number}-{self._names.index(name)}.invalid/{name}"
        if fault == "tls":
            return f"{self._untrusted.url_at(address)}{name}"
        return f"{self._origin.url_at(address)}{fault}/{name}"


def tells(contents):
    """One origin that tells a fault of a content, both named by the path; a query is ignored."""

    def behaviour(talk):
        path = talk.target.decode().partition("?")[0]
        fault, _, name = path.removeprefix("/").partition("/")
        return TOLD[fault](contents[name])(talk)

    return behaviour
