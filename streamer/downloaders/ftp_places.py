"""Where an FTP URL leads: the server, and the path as bytes. Pure, and the one place to read one.

RFC 1738 section 3.2 as servers and clients live it: a path is relative to the folder that a login
begins in, and one that begins with `%2F` is absolute. It is given to RETR as a whole, so that a
session has no state of its own. Its bytes are those of the URL, percent-decoded once and otherwise
untouched: what character set they are in is between the operator and the server (RFC 2640).

Refused is whatever would end a command early, or could be understood in two ways: CR, LF and NUL
(RFC 959 section 5.3, RFC 2640 section 3.1), credentials, a query, a fragment, a path of nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

PORTS = {"ftp": 21, "ftps": 990}

_HOST = re.compile(r"[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\]")
_AUTHORITY = re.compile(rf"({_HOST.pattern})(:[0-9]*)?")
_ENDS_A_COMMAND = re.compile(rb"[\r\n\0]")
_TYPE = re.compile(r";type=([A-Za-z])\Z")


class Server(NamedTuple):
    """Scheme, host in lower case and without brackets, and port: what fails and recovers as one."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def server_of(url: str) -> Server:
    """The server that a URL leads to; raises `ValueError` where it leads to none of FTP."""
    parts = urlsplit(url)
    host = parts.hostname if _AUTHORITY.fullmatch(parts.netloc) else None
    if parts.scheme not in PORTS or host is None or parts.port == 0:
        raise ValueError("no server of FTP")
    return Server(parts.scheme, host, parts.port or PORTS[parts.scheme])


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
    if not path or _ENDS_A_COMMAND.search(path):
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
    trusted: frozenset[Server]

    def is_trusted(self, server: Server) -> bool:
        return server in self.trusted

    def at(self, server: Server) -> Login:
        return self.own if self.is_trusted(server) else ANONYMOUS
