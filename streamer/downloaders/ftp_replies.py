"""Reads what an FTP server says on its control connection: replies, one after the other.

Pure, so that it can be fed any bytes in any pieces. RFC 959 section 4.2 has two forms:

    one line:   ddd SP text CRLF                        "150 Opening data connection"
    several:    ddd-text CRLF … ddd SP text CRLF        ends with the same code and a space

What stands between the first and the last line of several may look like anything, also like a
reply. A line that ends in LF alone is read, too, and one that is a bare code: servers do both.
What a reply means is none of this module's business, that is `ftp_dialogues`.

Refused are lines that begin with no code where one is due, and replies beyond `MAX_REPLY_BYTES`,
whether they are long, endless, or have no line end at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from streamer.errors import OriginNonsense

MAX_REPLY_BYTES = 64 * 1024
"""Banners and the rules of a mirror are a few KiB; the longest path is 4."""

_FIRST_LINE = re.compile(rb"([1-5][0-9]{2})(?:([ -])([^\n]*?))?\r?")


@dataclass(frozen=True, slots=True)
class Reply:
    """A code, and the text of all its lines, decoded as Latin-1: it is looked at, never shown."""

    code: int
    text: str = ""

    @property
    def kind(self) -> int:
        """The first digit: 1 more will follow, 2 done, 3 go on, 4 not now, 5 no."""
        return self.code // 100


class ReplyReader:
    """Takes bytes in and gives replies out; keeps at most one that is not complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun: _Begun | None = None
        self._kept_bytes = 0

    @property
    def is_between(self) -> bool:
        """Whether everything that came belongs to replies that were given out."""
        return not self._rest and self._begun is None

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are complete now; raises `OriginNonsense` for what is no reply.

        After that the reader is of no use any more.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        replies = []
        for line in lines:
            self._kept_bytes += len(line) + 1
            self._check_bound()
            if (reply := self._take(line)) is not None:
                self._kept_bytes = 0
                replies.append(reply)
        self._check_bound()
        return replies

    def _check_bound(self) -> None:
        if self._kept_bytes + len(self._rest) > MAX_REPLY_BYTES:
            raise OriginNonsense("its reply does not end")

    def _take(self, line: bytes) -> Reply | None:
        """The reply that ends with this line, if one does."""
        match = _FIRST_LINE.fullmatch(line)
        if self._begun is not None:
            return self._go_on(self._begun, line, match)
        if match is None:
            raise OriginNonsense("it does not speak FTP")
        code, separator, text = match.groups(b"")
        if separator == b"-":
            self._begun = _Begun(code, [text])
            return None
        return _reply(code, [text])

    def _go_on(self, begun: _Begun, line: bytes, match: re.Match[bytes] | None) -> Reply | None:
        if match is None or match[1] != begun.code or match[2] == b"-":
            begun.lines.append(line.rstrip(b"\r"))
            return None
        self._begun = None
        return _reply(begun.code, [*begun.lines, match[3] or b""])


class _Begun(NamedTuple):
    """A reply of several lines whose last one has not come."""

    code: bytes
    lines: list[bytes]


def _reply(code: bytes, lines: list[bytes]) -> Reply:
    return Reply(int(code), b"\n".join(lines).decode("latin-1"))
