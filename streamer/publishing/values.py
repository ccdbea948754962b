"""The rules for single values of an entry: path, digests, URL, media type, date.

Each function gives the value as it is stored or raises `ValueRefused` with a sentence that needs
no other context. Separate from the formats, which share them. Refuses what could not be served
or could mislead: a path that no request can name, a URL that carries a password, a digest that
proves nothing. No sentence repeats a URL, because a URL may hold a secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import new as new_hash
from urllib.parse import quote, urlsplit

from streamer.model import STRONG_ALGORITHMS, WEAK_ALGORITHMS, Digest, strongest_first

MAX_PATH_BYTES = 2048  # PostgreSQL refuses index rows of more than 2,704 bytes
MAX_URL_CHARACTERS = 8192  # RFC 9110 section 4.1 asks for 8,000 at least; few servers take more
MAX_SECONDS = 253_402_300_799  # the end of the year 9999, the last that HTTP can write

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")  # RFC 3986 section 3.1
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2 # noqa: S105
_MEDIA_TYPE = re.compile(  # RFC 9110 section 8.3.1
    rf'{_TOKEN}/{_TOKEN}([ \t]*;[ \t]*{_TOKEN}=({_TOKEN}|"([\t !#-\[\]-~]|\\[\t -~])*"))*'
)
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_IMF_FIXDATE = re.compile(  # RFC 9110 section 5.6.7
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) "
    rf"({'|'.join(_MONTHS)}) (\d{{4}}) (\d\d:\d\d:\d\d) GMT",
    re.ASCII,
)
_HEX_LENGTHS = {
    name: new_hash(name, usedforsecurity=False).digest_size * 2
    for name in STRONG_ALGORITHMS + WEAK_ALGORITHMS
}


class ValueRefused(ValueError):
    """A value breaks its rule; the message is the sentence to show."""


def shown(text: str) -> str:
    """Write `text` so that it is short and moves no cursor."""
    return ascii(text if len(text) <= 100 else text[:97] + "...")


def check_path(path: str) -> str:
    """Give `path` unchanged if a request can name it."""
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        raise ValueRefused(f"path {shown(path)} is not UTF-8") from None
    if length > MAX_PATH_BYTES:
        raise ValueRefused(f"path {shown(path)} is longer than {MAX_PATH_BYTES:,} bytes")
    if _CONTROL.search(path):
        raise ValueRefused(f"path {shown(path)} has a control character")
    segments = path.split("/")
    if path.startswith("/"):
        raise ValueRefused(f"path {shown(path)} begins with a slash; it is relative")
    if not {"", ".", ".."}.isdisjoint(segments):
        raise ValueRefused(f"path {shown(path)} has an empty, '.' or '..' segment")
    return path


def read_digests(stated: Mapping[str, str] | Iterable[str]) -> tuple[Digest, ...]:
    """Read digests as a mapping or as SRI tokens; the one to verify with comes first."""
    found: dict[str, Digest] = {}
    for name, value in _named_digests(stated):
        algorithm = name.lower().replace("-", "")
        digest = Digest(algorithm, _hex(algorithm, name, value))
        if found.setdefault(algorithm, digest) != digest:
            raise ValueRefused(f"states two different {algorithm} digests")
    return strongest_first(found.values())


def _named_digests(stated: Mapping[str, str] | Iterable[str]) -> Iterator[tuple[str, str]]:
    if isinstance(stated, Mapping):
        yield from stated.items()
        return
    for token in stated:
        match = re.match(r"((?:sha-?|md)\d+)[-=:]", token, re.IGNORECASE | re.ASCII)
        if match is None:
            raise ValueRefused(f"digest {shown(token)} is not written as algorithm=value")
        yield match[1], token[match.end() :]


def _hex(algorithm: str, name: str, value: str) -> str:
    """Read hexadecimal, or base64 with or without its algorithm before it."""
    length = _HEX_LENGTHS.get(algorithm)
    if length is None:
        known = ", ".join(_HEX_LENGTHS)
        raise ValueRefused(f"digest algorithm {shown(name)} is not known; there are {known}")
    if re.fullmatch(f"[0-9A-Fa-f]{{{length}}}", value):
        return value.lower()
    encoded = re.sub(rf"\A{re.escape(name)}[-=]", "", value, flags=re.IGNORECASE)
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if len(content) * 2 != length:
        raise ValueRefused(f"the {algorithm} digest is neither {length} hex digits nor base64")
    return content.hex()


def check_url(url: str, schemes: frozenset[str]) -> str:
    """Give `url` unchanged if it is relative, or absolute with one of `schemes`."""
    if not url or len(url) > MAX_URL_CHARACTERS:
        raise ValueRefused(f"a source's url must have 1 to {MAX_URL_CHARACTERS:,} characters")
    if not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ValueRefused(
            "a source's url must be percent-encoded: ASCII without spaces and control characters"
        )
    if "#" in url:
        raise ValueRefused("a source's url has a '#', which is never sent; in a name it is %23")
    if url.startswith("//"):
        raise ValueRefused("a source's url begins with '//': give it a scheme")
    match = _SCHEME.match(url)
    if match:
        _check_authority(url, match[1].lower(), schemes)
    return url


def _check_authority(url: str, scheme: str, schemes: frozenset[str]) -> None:
    if scheme not in schemes:
        raise ValueRefused(
            f"a source's url has the scheme {shown(scheme)}, its importer can do"
            f" {', '.join(sorted(schemes))}"
        )
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueRefused("a source's url has a malformed host or port") from None
    # RFC 8089 section 2: a file's URL names no host, or this one.
    if not host and scheme != "file":
        raise ValueRefused("a source's url has no host")
    if "@" in parts.netloc:
        raise ValueRefused("a source's url has a user: credentials belong into the importer")


def url_of_path(path: str) -> str:
    """Percent-encode a path by segment into a relative URL.

    Two delimiters that RFC 3986 allows in a path are encoded nevertheless, because servers differ
    on them: object stores read `+` as a space, and Java servers cut at `;`. A colon is encoded so
    that the first segment is never taken for a scheme.
    """
    return quote(path, safe="/!$&'()*,=@~")


def check_media_type(text: str) -> str:
    """Give `text` unchanged if it is a media type with or without parameters."""
    if len(text) > 255 or not _MEDIA_TYPE.fullmatch(text):
        raise ValueRefused("media_type is not written as type/subtype")
    return text


def read_date(stated: int | float | str) -> int:
    """Read RFC 3339, an HTTP-date or seconds since the epoch into the last of these."""
    seconds = _seconds_of(stated) if isinstance(stated, str) else stated
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueRefused("last_modified lies before 1970 or after 9999")
    return int(seconds)


def _seconds_of(text: str) -> float:
    http_date = _IMF_FIXDATE.fullmatch(text)
    try:
        if http_date:
            day, month, year, clock = http_date.groups()
            date = f"{year}-{_MONTHS.index(month) + 1:02}-{day}"
            return datetime.fromisoformat(f"{date}T{clock}Z").timestamp()
        if _RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError):
        pass  # a thirteenth month, a leap second
    raise ValueRefused("last_modified is not RFC 3339, an HTTP-date or seconds since the epoch")
