"""Read the heads of requests by RFC 9112, line by line, and say with what status one is refused.

Twisted reads heads too, and more kindly: it unfolds lines, waits for line ends that never come,
takes a request without Host or with two, and stores content before anybody is asked. Kindness that
the next reader on the way does not share is how requests are smuggled. So Twisted is given only
what was read here first, and in one spelling: the target in origin-form, no Host, no framing, no
expectation, `Connection` only where the client ends the connection.

Separate from `front` because it is pure: bytes in; a head, nothing yet, or `HeadRefused` out.
A line is refused as soon as it is there. What only the whole head shows (Host, content, a method
without a resource) waits for the empty line, so that what is malformed is 400 before it is 405.

Refuses every request with content: nothing here has a use for any (RFC 9110 section 9.3.1), and
where no content is ever skipped, no two readers can disagree about where it ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import NamedTuple

MAX_HEAD_BYTES = 16 * 1024
"""Of the request line and all field lines with their ends; Twisted's own limit for both."""

MAX_FIELDS = 500

MAX_EMPTY_LINES = 4
"""Skipped before a request line (RFC 9112 section 2.2): old clients end content with one."""

HTTP_1_0, HTTP_1_1 = b"HTTP/1.0", b"HTTP/1.1"

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2
_HOST_CHARS = rb"-A-Za-z0-9._~!$&'()*+,;="  # RFC 3986 section 2: unreserved and sub-delims

# RFC 9112 section 3. The target may hold what RFC 3986 would escape, because clients send it and
# names hold it; but no `#`, behind which some readers see no more of the target and some do.
_REQUEST_LINE = re.compile(
    rb"(" + _TOKEN + rb") ([\x21\x22\x24-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])"
)

_NOT_ASCII = re.compile(rb"[\x80-\xff]")

# RFC 9112 section 5 and RFC 9110 section 5.5, obs-text allowed, obs-fold not.
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)")

# RFC 9112 section 3.2.2, for the schemes by which this service can be meant.
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)

# uri-host [":" port], RFC 9110 section 7.2 and RFC 3986 section 3.2.2; an address follows.
_AUTHORITY = re.compile(
    rb"(\[[Vv][0-9A-Fa-f]+\.[" + _HOST_CHARS + rb":]+\]"
    rb"|\[(?P<ipv6>[0-9A-Fa-f:.]+)\]"
    rb"|(?:[" + _HOST_CHARS + rb"]|%[0-9A-Fa-f]{2})*)"
    rb"(?::([0-9]*))?"
)

_KEPT_AT_THE_DOOR = {b"connection", b"content-length", b"expect", b"host"}
"""Fields that have done their work when the head is read; nobody behind may build on them."""


class HeadRefused(Exception):
    """What has come is not the head of a request that can be answered; it holds the status."""

    @property
    def status(self) -> int:
        """What the client is told."""
        return int(self.args[0])


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A head that is in order: a request for a resource, without content.

    `target` is in origin-form, whatever form was sent, and nothing in it comes from an authority.
    The names of `fields` are in lower case.
    """

    method: bytes
    target: bytes
    version: bytes
    fields: tuple[tuple[bytes, bytes], ...]

    def __bytes__(self) -> bytes:
        request_line = b"%b %b %b" % (self.method, self.target, self.version)
        return b"\r\n".join((request_line, *map(b":".join, self.fields), b"", b""))


class _RequestLine(NamedTuple):
    """`target` is None where the request is for no resource: `OPTIONS *` and CONNECT."""

    method: bytes
    target: bytes | None
    version: bytes


class HeadReader:
    """Takes the bytes of one connection and gives its heads, one each time it is asked.

    What follows a head is not looked at before the next one is asked for. After `HeadRefused` the
    reader is of no more use: nobody can know where another request would begin.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._size = 0
        self._request_line: _RequestLine | None = None
        self._fields: list[tuple[bytes, bytes]] = []

    @property
    def held_bytes(self) -> int:
        """How much has come that is not read yet."""
        return len(self._bytes)

    @property
    def is_within_head(self) -> bool:
        """Whether some of a head has come, be it an empty line before it."""
        return bool(self._bytes) or self._size > 0

    def receive(self, data: bytes) -> None:
        """Take what has come; it is read by `next_head`."""
        self._bytes += data

    def next_head(self) -> RequestHead | None:
        """Read on; None while there is no whole head. Raises `HeadRefused`."""
        while (line := self._next_line()) is not None:
            if self._request_line is None:
                self._read_beginning(line)
            elif line:
                self._read_field(line)
            else:
                head = _whole_head(self._request_line, self._fields)
                self._begin()
                return head
        return None

    def _next_line(self) -> bytes | None:
        """Take a line off, without its end; None while it has none.

        Only CR and LF together end a line (RFC 9112 section 2.2), so neither stands elsewhere.
        """
        has_end = (length := self._bytes.find(b"\n") + 1) > 0
        line = bytes(self._bytes[:length] if has_end else self._bytes)
        if self._size + len(line) > MAX_HEAD_BYTES:
            raise HeadRefused(414 if self._request_line is None else 431)
        content = line.removesuffix(b"\r\n" if has_end else b"\r")
        if b"\r" in content or b"\n" in content:
            raise HeadRefused(400)
        if not has_end:
            return None
        del self._bytes[:length]
        self._size += length
        return content

    def _read_beginning(self, line: bytes) -> None:
        if line:
            self._request_line = _read_request_line(line)
            # What the escapes add counts too, or the limits of whoever reads on would decide.
            self._size += 2 * len(_NOT_ASCII.findall(line))
            if self._size > MAX_HEAD_BYTES:
                raise HeadRefused(414)
        elif self._size > MAX_EMPTY_LINES * len(b"\r\n"):
            raise HeadRefused(400)

    def _read_field(self, line: bytes) -> None:
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            raise HeadRefused(400)
        if len(self._fields) == MAX_FIELDS:
            raise HeadRefused(431)
        self._fields.append((match[1].lower(), match[2].strip(b" \t")))


# -- the request line


def _read_request_line(line: bytes) -> _RequestLine:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise HeadRefused(400)
    method, target, major, minor = match.groups()
    # Some old clients do not escape UTF-8 in a name; behind the door it is escaped.
    escaped = _NOT_ASCII.sub(lambda match: b"%%%02X" % match[0][0], target)
    resource = _resource(method, escaped)
    if major != b"1":
        # RFC 9110 section 15.6.6; HTTP/0.9 has no version to name.
        raise HeadRefused(400 if major == b"0" else 505)
    # A higher minor version is understood by what 1.1 says (RFC 9110 section 2.5).
    return _RequestLine(method, resource, HTTP_1_0 if minor == b"0" else HTTP_1_1)


def _resource(method: bytes, target: bytes) -> bytes | None:
    """Path and query, by the form of the target (RFC 9112 section 3.2); None for no resource."""
    if method == b"CONNECT":
        host, port = _read_authority(target)
        _require(host and port)  # RFC 9110 section 9.3.6
        return None
    if target == b"*":
        _require(method == b"OPTIONS")
        return None
    if target.startswith(b"/"):
        return target
    match = _ABSOLUTE_FORM.fullmatch(target)
    if match is None:
        raise HeadRefused(400)
    host, _ = _read_authority(match[1])
    _require(host)  # RFC 9110 section 4.2.1
    return match[2] if match[2].startswith(b"/") else b"/" + match[2]


def _read_authority(raw: bytes) -> tuple[bytes, bytes]:
    """Host and port, either of which may be empty; user information is refused."""
    match = _AUTHORITY.fullmatch(raw)
    if match is None:
        raise HeadRefused(400)
    if match["ipv6"] is not None:
        try:
            IPv6Address(match["ipv6"].decode())
        except ValueError:
            raise HeadRefused(400) from None
    return match[1], match[3] or b""


def _require(condition: object) -> None:
    if not condition:
        raise HeadRefused(400)


# -- what only the whole head shows


def _whole_head(line: _RequestLine, fields: list[tuple[bytes, bytes]]) -> RequestHead:
    def values(wanted: bytes) -> list[bytes]:
        return [value for name, value in fields if name == wanted]

    _check_host(line.version, values(b"host"))
    if _has_content(line.version, values(b"transfer-encoding"), values(b"content-length")):
        raise HeadRefused(413 if line.method in (b"GET", b"HEAD") else 405)
    if line.target is None:
        raise HeadRefused(405)
    passed_on = [field for field in fields if field[0] not in _KEPT_AT_THE_DOOR]
    options = b",".join(values(b"connection")).lower().split(b",")
    if b"close" in (option.strip(b" \t") for option in options):
        passed_on.append((b"connection", b"close"))
    return RequestHead(line.method, line.target, line.version, tuple(passed_on))


def _check_host(version: bytes, hosts: list[bytes]) -> None:
    """RFC 9112 section 3.2: one that is an authority, and HTTP/1.0 may do without."""
    _require(len(hosts) == 1 or (not hosts and version == HTTP_1_0))
    for host in hosts:
        _read_authority(host)


def _has_content(version: bytes, codings: list[bytes], lengths: list[bytes]) -> bool:
    """RFC 9112 section 6. Every way to say it that two readers might read apart is 400."""
    if codings:
        is_plain = [coding.lower() for coding in codings] == [b"chunked"]
        _require(is_plain and not lengths and version == HTTP_1_1)
        return True
    if lengths:
        _require(len(lengths) == 1 and lengths[0].isdigit())
        # Not a number but its digits: there may be thousands.
        return bool(lengths[0].strip(b"0"))
    return False
