"""Where an FTP URL leads: the server, and the path as bytes. Pure, and the one place to read one.

RFC 1738 section 3.2 as servers and clients live it: a path is relative to the folder that a login
begins in, and one that begins with `%2F` is absolute. It is given to RETR as a whole, so that a
session has no state of its own. Its bytes are those of the URL, percent-decoded once and otherwise
untouched: what character set they are in is between the operator and the server (RFC 2640).

Refused is whatever would end a command early, or could be understood in two ways: CR, LF and NUL
(RFC 959 section 5.3, RFC 2640 section 3.1), credentials, a query, a fragment, a path of nothing. So
is the byte FF, with which commands of Telnet begin (RFC 854): ProFTPD takes them out of a path and
wants that byte twice, vsftpd takes each for itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

from streamer.downloaders.credentials import Origin, read_origin

PORTS = {"ftp": 21, "ftps": 990}

_NOT_IN_A_COMMAND = re.compile(rb"[\r\n\0\xff]")
_TYPE = re.compile(r";type=([A-Za-z])\Z")


def server_of(url: str) -> Origin:
    """The server that a URL leads to; raises `ValueError` where it leads to none of FTP."""
    return read_origin(url, PORTS)


def path_of(url: str) -> bytes:
    """What to ask the server for; raises `ValueError` where that cannot be asked."""
    if not url.isascii() or not url.isprintable() or " " in url or "?" in url or "#" in url:
        raise ValueError("no path of FTP")
    text = urlsplit(url).path.removeprefix("/")
    if (kind := _TYPE.search(text)) is not None:
        if kind[1] not in "iI":
            raise ValueError("content is fetched as it is")
        text = text[: kind.start()]
    path = unquote_to_bytes(text)
    if not path or _NOT_IN_A_COMMAND.search(path):
        raise ValueError("no path of FTP")
    return path


@dataclass(frozen=True, slots=True)
class Login:
    """Who to be; the default is what RFC 1635 made of FTP without accounts."""

    username: str = "anonymous"
    password: str = field(default="anonymous@", repr=False)


ANONYMOUS = Login()


@dataclass(frozen=True, slots=True)
class Logins:
    """The importer's own login, and the servers that may see it; all others see a stranger."""

    own: Login
    trusted: frozenset[Origin]

    def is_trusted(self, server: Origin) -> bool:
        return server in self.trusted

    def at(self, server: Origin) -> Login:
        return self.own if self.is_trusted(server) else ANONYMOUS
