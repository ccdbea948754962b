"""The head of an origin's response: read with bounds, judged, and written anew.

An origin may be hostile or merely broken, and Twisted's parser is lenient: it takes any number of
fields, interim responses without end, NUL and CR in values, and Transfer-Encoding over a
Content-Length beside it. So it never sees a head that an origin wrote. This module reads each one
from the bytes as they come, refuses what could be understood in two ways or has no end, and gives
back another head that says the same: without the interim responses before it, the reason phrase,
and the fields that concern this one connection only.

Kept apart from the connection because it is pure: bytes in, a head or `OriginNonsense` out. No
word of an origin gets into the sentence of a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from streamer.errors import OriginNonsense

HEAD_BYTES = 64 * 1024
"""Of one response, its interim ones included: more than any server sends with a file. Apache and
nginx accept 8 KiB of a client, and nginx 4 or 8 KiB of an origin."""

HEAD_FIELDS = 200
"""Field lines of the same; Apache accepts 100 of a client."""

INTERIM_RESPONSES = 10
"""RFC 9110 section 15.2 allows any number; 102 and 103 come once or twice where they come."""

LINE_BYTES = 16 * 1024
"""One line with its end, status line and reason phrase too: what Twisted reads, which closes the
connection without a reason where a line is longer."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: [^\0\r]*)?")
"""RFC 9112 section 4; the space before an absent reason phrase is forgotten by some servers."""

_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\0\r]*)")
"""RFC 9112 section 5 and RFC 9110 section 5.5; no space before the colon and no folding."""

_LENGTH = re.compile(rb"[0-9]{1,18}")
"""RFC 9110 section 8.6, up to an exabyte."""

_FRAMING = {b"content-length", b"transfer-encoding"}
_WITHOUT_CONTENT = {204, 304}


@dataclass(frozen=True, slots=True)
class Head:
    """A final head, as it may be passed on, and how the content after it ends.

    `length` counts the bytes of the content; it is `None` where chunks tell the end, or the end of
    the connection does.
    """

    raw: bytes
    length: int | None
    is_chunked: bool = False

    @property
    def status(self) -> int:
        """The three digits that `raw` was written with."""
        return int(self.raw[9:12])


class _Field(NamedTuple):
    name: bytes
    value: bytes
    line: bytes


class HeadReader:
    """Reads the head of one response, and those of the interim responses before it.

    It holds no more than `HEAD_BYTES` and refuses at the first byte or line too many. With
    `opens_tunnel` it reads the answer to a CONNECT: after a 2xx there is no content, whatever its
    fields say.
    """

    def __init__(self, *, opens_tunnel: bool = False) -> None:
        self._opens_tunnel = opens_tunnel
        self._unfinished = b""
        self._bytes = 0
        self._field_lines = 0
        self._interims = 0
        self._start_over()

    def _start_over(self) -> None:
        self._minor, self._status = 0, 0  # of HTTP/1.minor; 0 until the first line is here
        self._fields: list[_Field] = []

    def feed(self, data: bytes) -> tuple[Head, bytes] | None:
        """Take bytes; give the head once it is complete, and the bytes that followed it.

        Raises `OriginNonsense`; the reader is of no use after that.
        """
        data = self._unfinished + data
        start = 0
        while (end := data.find(b"\n", start) + 1) > 0:
            self._bytes += end - start
            self._check_size(end - start, self._bytes)
            # RFC 9112 section 2.2: LF alone ends a line too, and a CR before it is ignored.
            is_complete = self._take(data[start : end - 1].removesuffix(b"\r"))
            start = end
            if is_complete:
                return self._head(), data[start:]
        self._unfinished = data[start:]
        self._check_size(len(self._unfinished), self._bytes + len(self._unfinished))
        return None

    def _check_size(self, line_bytes: int, head_bytes: int) -> None:
        if line_bytes > LINE_BYTES or head_bytes > HEAD_BYTES:
            raise OriginNonsense("its fields are too many or too large")

    def _take(self, line: bytes) -> bool:
        """Take one line without its end, and say whether it ended the final head."""
        if not self._status:
            self._take_status(line)
        elif line:
            self._take_field(line)
        elif self._status >= 200:
            return True
        else:
            self._start_over()
        return False

    def _take_status(self, line: bytes) -> None:
        if (match := _STATUS_LINE.fullmatch(line)) is None:
            raise OriginNonsense("it is not HTTP")
        self._minor, self._status = int(match[1]), int(match[2])
        if self._status == 101:  # RFC 9110 section 15.2.2: only to who asked for it.
            raise OriginNonsense("it changes the protocol unasked")
        self._interims += self._status < 200
        if self._interims > INTERIM_RESPONSES:
            raise OriginNonsense("it sends interim responses without end")

    def _take_field(self, line: bytes) -> None:
        self._field_lines += 1
        if self._field_lines > HEAD_FIELDS:
            raise OriginNonsense("its fields are too many or too large")
        if (match := _FIELD_LINE.fullmatch(line)) is None:
            raise OriginNonsense("one of its fields is malformed")
        self._fields.append(_Field(match[1].lower(), match[2].strip(b" \t"), line))

    def _head(self) -> Head:
        length, is_chunked = self._framing()
        options = _connection_options(self._fields)
        # RFC 9110 section 7.6.1: what Connection names goes no further, and neither does it.
        dropped = (options - _FRAMING) | {b"connection"}
        lines = [field.line for field in self._fields if field.name not in dropped]
        if b"close" in options or self._minor == 0:
            # Twisted knows this one spelling, and keeps connections of HTTP/1.0.
            lines.append(b"Connection: close")
        raw = b"\r\n".join([b"HTTP/1.1 %d " % self._status, *lines, b"", b""])
        return Head(raw, length, is_chunked)

    def _framing(self) -> tuple[int | None, bool]:
        if self._opens_tunnel and self._status < 300:  # RFC 9110 section 9.3.6
            return 0, False
        framing = _framing(self._fields, self._minor)
        return (0, False) if self._status in _WITHOUT_CONTENT else framing


def _connection_options(fields: Iterable[_Field]) -> set[bytes]:
    values = [field.value for field in fields if field.name == b"connection"]
    return {option.strip(b" \t").lower() for option in b",".join(values).split(b",")}


def _framing(fields: Iterable[_Field], minor: int) -> tuple[int | None, bool]:
    """How long the content is, and whether it is chunked (RFC 9112 section 6.3).

    A gateway may only refuse where the two fields contradict each other or themselves: whoever
    believes the other one sees the next response somewhere else.
    """
    framing = [field for field in fields if field.name in _FRAMING]
    if not framing:
        return None, False
    if len(framing) > 1:
        raise OriginNonsense("it says twice how long its content is")
    (field,) = framing
    if field.name == b"content-length":
        if not _LENGTH.fullmatch(field.value):
            raise OriginNonsense("the length of its content is not a number")
        return int(field.value), False
    # RFC 9112 section 6.1: HTTP/1.0 knows no transfer coding, and identity was not asked for.
    if field.value.lower() != b"chunked" or minor == 0:
        raise OriginNonsense("its content is in an unknown transfer coding")
    return None, True
