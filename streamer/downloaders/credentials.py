"""Which origin may be told what: the importer's own and those it names, and nobody else.

An origin is scheme, host and port (RFC 9110 section 4.3.1). Pure, and the one place that hands out
a secret: every request, after a redirect too, asks here with the URL that it is about to go to
(invariant 6). What is not secret, the plain fields and the user agent, everybody is told.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from streamer.model import Fields

_PORTS = {"http": 80, "https": 443}

_AUTHORITY = re.compile(r"([^\[\]:@%]+|\[[^\[\]@%]+\])(:[0-9]*)?")
"""A name or an address, and a port; without an escape, which few read in an authority."""


class Origin(NamedTuple):
    """The host in lower case and without brackets, the default port filled in."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def origin_of(url: str) -> Origin:
    """The origin that a URL leads to; raises `ValueError` where it leads to none of HTTP.

    So does an authority that not everybody reads in the same way, as with user information.
    """
    return read_origin(url, _PORTS)


def read_origin(url: str, ports: Mapping[str, int]) -> Origin:
    """The same for other schemes, each with its default port."""
    parts = urlsplit(url)
    host = parts.hostname if _AUTHORITY.fullmatch(parts.netloc) else None
    if parts.scheme not in ports or host is None or parts.port == 0:
        raise ValueError(f"no origin of {' or '.join(ports)}")
    return Origin(parts.scheme, host, parts.port or ports[parts.scheme])


def basic(username: str, password: str) -> str:
    """The value of Authorization by RFC 7617, in UTF-8."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an importer has to show, and to whom.

    `authorization` is a value of Authorization, `fields` are those that every origin gets.
    """

    own: Origin
    further: frozenset[Origin] = frozenset()
    authorization: str | None = field(default=None, repr=False)
    secret_fields: Fields = field(default=(), repr=False)
    fields: Fields = field(default=(), repr=False)

    def is_trusted(self, url: str) -> bool:
        """Whether what is asked for by this URL may see the credentials."""
        try:
            origin = origin_of(url)
        except ValueError:
            return False
        return origin == self.own or origin in self.further

    def fields_for(self, url: str, token: str | None = None) -> Fields:
        """What a request for this URL says besides what it asks for.

        A `token` replaces other credentials in Authorization, and is as secret as they are.
        """
        if not self.is_trusted(url):
            return self.fields
        authorization = self.authorization if token is None else f"Bearer {token}"
        shown = () if authorization is None else (("Authorization", authorization),)
        return (*self.fields, *self.secret_fields, *shown)

    @property
    def takes_tokens(self) -> bool:
        """Whether a token service may be asked: not where the operator says what to show."""
        is_basic = self.authorization is None or self.authorization.startswith("Basic ")
        return is_basic and all(name.lower() != "authorization" for name, _ in self.secret_fields)
