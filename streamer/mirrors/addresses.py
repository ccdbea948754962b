"""Which URL of a list may be asked, what of it is the mirror's base, and what goes behind that.

Separate from the formats, which share it. A URL is taken verbatim or left out: what would have to
be quoted, resolved or guessed is left out. Refuses credentials that a stranger hands out, and names
that would lead out of a mirror.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import unquote

from streamer.mirrors.records import LeftOut

SCHEMES = frozenset({"http", "https", "ftp", "ftps"})

MAX_URL_CHARACTERS = 2048
"""Longer URLs of real mirrors were not seen, and paths are still to be put behind them."""

_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)")
_URL = re.compile(r"""[^\x00-\x20\x7f-\U0010ffff"#<>\\^`{|}]+""")  # RFC 3986, without fragments
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._~-]+|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{0,5}))?")
_VARIABLE = re.compile(r"\$\{?[A-Za-z_]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def url_fault(url: str, schemes: frozenset[str]) -> LeftOut | None:
    """Say why `url` cannot be asked; None if it can."""
    if len(url) > MAX_URL_CHARACTERS:
        return LeftOut.TOO_LONG
    beginning = _ABSOLUTE.match(url)
    if beginning is None:
        return LeftOut.NO_URL
    scheme, authority = beginning.groups()
    if scheme.lower() not in schemes:
        return LeftOut.OTHER_SCHEME
    if "@" in authority:
        return LeftOut.CREDENTIALS
    return None if _URL.fullmatch(url) and _is_authority(authority) else LeftOut.NO_URL


def has_variable(url: str) -> bool:
    """Whether it holds `$arch` or `${arch}`, as a package manager would fill it in."""
    return _VARIABLE.search(url) is not None


def base_fault(url: str, schemes: frozenset[str]) -> LeftOut | None:
    """Say why `url` cannot be asked for what is below it; None if it can."""
    if has_variable(url):
        return LeftOut.VARIABLE
    return url_fault(url, schemes) or (LeftOut.NO_URL if "?" in url else None)


def _is_authority(text: str) -> bool:
    """Whether it is a host and, if any, a port that exists (RFC 3986 section 3.2)."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return False
    address, port = match.groups()
    if address is not None:
        try:
            IPv6Address(address)
        except ValueError:
            return False
    return not port or 0 < int(port) < 65_536


def base_of(url: str, own_path: str) -> str | None:
    """Give what stands before `own_path` at the end of `url`, with its slash; None if it does not.

    `own_path` is plain and `url` percent-encoded, so their segments are compared decoded.
    """
    own = own_path.split("/")
    base, *segments = url.rsplit("/", len(own))
    fits = [unquote(segment) for segment in segments] == own
    return f"{base}/" if fits and "://" in base and "?" not in url else None


def is_safe_name(name: str) -> bool:
    """Whether a file's name is relative and stays below where it is put (RFC 5854 4.1.2.1)."""
    if _CONTROL.search(name) or "\\" in name or len(name) > MAX_URL_CHARACTERS:
        return False
    segments = [decoded for segment in name.split("/") for decoded in (segment, unquote(segment))]
    return {"", ".", ".."}.isdisjoint(segments)


def is_below(source: str) -> bool:
    """Whether every mirror has `source`: not if it is absolute, or begins at the host's root."""
    return not _ABSOLUTE.match(source) and not source.startswith("/")


def join(base: str, source: str) -> str:
    """Put a relative source below a mirror's base, byte for byte as both were written.

    Raises `ValueError` for one that is not below: it names a place of its own.
    """
    if not is_below(source):
        raise ValueError("the source names a place of its own, which no mirror has")
    return f"{base.rstrip('/')}/{source}"
