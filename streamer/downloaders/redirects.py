"""Where a redirect leads, and which redirects are not followed.

Pure: the URLs that were asked so far, and the Location that came back. A target is resolved against
the URL that answered, by RFC 3986 section 5.2, and goes out as the origin wrote it, but for its
fragment, its dot segments, and what no request line can hold: a space and bytes beyond ASCII in the
path or query are percent-encoded, as browsers do. Everything else that is no URL is refused.

Refused too are circles, more than `MAX_REDIRECTS`, from https to http, credentials in the target,
and schemes but http and https. Whether the address may be connected to is decided later, when it is
known; who may see credentials by `credentials`, for each hop anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import NamedTuple, cast

from streamer.downloaders.credentials import origin_of
from streamer.errors import RedirectRefused

STATUSES = frozenset({301, 302, 303, 307, 308})
"""RFC 9110 section 15.4; for GET and HEAD they all mean the same request elsewhere."""

PERMANENT = frozenset({301, 308})
"""The others may lead elsewhere the next time."""

MAX_REDIRECTS = 10
"""curl follows 50, wget 20, browsers 20; a chain of mirrors needs three or four."""

MAX_CHARACTERS = 8000
"""RFC 9110 section 4.1 asks that URLs of this length be possible."""

_PARTS = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL)
"""RFC 3986 appendix B."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_AUTHORITY = re.compile(r"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?")
_UNWRITABLE = re.compile(r"[^\x21-\x7e]")


class _Reference(NamedTuple):
    scheme: str | None
    authority: str | None
    path: str
    query: str | None


def follow(visited: Sequence[str], locations: Sequence[str]) -> str:
    """The URL to ask next.

    `visited` has the URLs that were asked, the one that answered last; `locations` the values of
    its Location field, decoded as Latin-1. Raises `RedirectRefused`, without a URL in its sentence.
    """
    target = _target(visited[-1], locations)
    if target in visited:
        raise RedirectRefused("it leads in a circle")
    if len(visited) > MAX_REDIRECTS:
        raise RedirectRefused(f"there are more than {MAX_REDIRECTS} of them")
    return target


def added_slash(url: str, locations: Sequence[str]) -> str | None:
    """A relative Location, where a redirect only adds a slash to the path of `url`; else None.

    Whoever asked may be told so without learning where the origin is.
    """
    try:
        target = _target(url, locations)
    except RedirectRefused:
        return None
    asked, found = _normal(_split(url)), _split(target)
    if origin_of(target) != origin_of(url) or found.path != f"{asked.path}/":
        return None
    name = asked.path.rpartition("/")[2]
    # RFC 3986 section 4.2: what stands before a colon would be a scheme.
    dot = "./" if ":" in name or not name else ""
    query = "" if found.query is None else f"?{found.query}"
    return f"{dot}{name}/{query}"


def checked_url(text: str) -> str:
    """An absolute URL that an origin named, ready to be asked for; raises `RedirectRefused`."""
    url = _split(_written(text))
    if url.scheme is None or url.authority is None:
        raise RedirectRefused("it is not an absolute URL")
    _check(url)
    return _joined(_normal(url))


def is_downgrade(url: str, target: str) -> bool:
    """Whether what was asked for in private would be asked for in public."""
    return _scheme(url) == "https" and _scheme(target) == "http"


def _target(url: str, locations: Sequence[str]) -> str:
    if len(locations) != 1:
        raise RedirectRefused("it does not say where to, or says it twice")
    target = _resolved(_split(url), _split(_written(locations[0])))
    _check(target)
    written = _joined(_normal(target))
    if len(written) > MAX_CHARACTERS:
        raise RedirectRefused("its URL is too long")
    if is_downgrade(url, written):
        raise RedirectRefused("it leads from https to http")
    return written


def _written(text: str) -> str:
    """A reference in visible ASCII; in an authority what was encoded here is refused later."""
    text = text.strip(" \t")
    if len(text) > MAX_CHARACTERS:
        raise RedirectRefused("its URL is too long")
    if _CONTROL.search(text):
        raise RedirectRefused("its URL holds control characters")
    try:
        return _UNWRITABLE.sub(lambda match: f"%{match[0].encode('latin-1')[0]:02X}", text)
    except UnicodeEncodeError:
        raise RedirectRefused("its URL is not made of bytes") from None


def _split(text: str) -> _Reference:
    # Appendix B takes every text apart.
    scheme, authority, path, query = cast("re.Match[str]", _PARTS.fullmatch(text)).groups()
    if scheme is not None and not _SCHEME.fullmatch(scheme):
        raise RedirectRefused("its URL cannot be read")
    return _Reference(scheme, authority, path, query)


def _resolved(base: _Reference, reference: _Reference) -> _Reference:
    """RFC 3986 section 5.2.2."""
    if reference.scheme is not None:
        return reference
    if reference.authority is not None:
        return reference._replace(scheme=base.scheme)
    if not reference.path:
        query = base.query if reference.query is None else reference.query
        return base._replace(query=query)
    if reference.path.startswith("/"):
        return base._replace(path=reference.path, query=reference.query)
    folder = base.path.rpartition("/")[0]
    return base._replace(path=f"{folder}/{reference.path}", query=reference.query)


def _normal(url: _Reference) -> _Reference:
    """Without dot segments (RFC 3986 section 5.2.4), and with a path (section 6.2.3)."""
    kept: list[str] = []
    segments = url.path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    return url._replace(path="/" + "/".join(kept))


def _check(url: _Reference) -> None:
    if (url.scheme or "").lower() not in ("http", "https"):
        raise RedirectRefused("it leads to another scheme than http and https")
    authority = url.authority or ""
    if "@" in authority:
        raise RedirectRefused("its URL holds credentials")
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not _is_host(match[1]) or not _is_port(match[2]):
        raise RedirectRefused("its URL names no host that can be asked")
    if url.path and not url.path.startswith("/"):
        raise RedirectRefused("its URL cannot be read")


def _is_host(host: str) -> bool:
    try:
        return not host.startswith("[") or bool(IPv6Address(host[1:-1]))
    except ValueError:
        return False


def _is_port(port: str | None) -> bool:
    return not port or 1 <= int(port) <= 65535


def _joined(url: _Reference) -> str:
    query = "" if url.query is None else f"?{url.query}"
    return f"{url.scheme}://{url.authority}{url.path}{query}"


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()
