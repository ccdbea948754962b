"""One value of a config of whatever type: what a URL, a secret, a number or a list looks like.

Functions that return what they were given, or its one normal form, or raise `ValueError` with a
sentence that holds none of it; and the annotated types that models of configs are made of. What is
of one protocol alone stands with that.

Numbers, sizes, times, booleans and lists may be written as text, since `--set` knows nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import idna
from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
)

BOOLEAN = "true or false"
TEXT = "text"
"""What is allowed, where nothing more can be said in a word."""

REVEAL = {"reveal": True}
"""The context in which a secret is dumped as it is."""

_AUTHORITY = re.compile(r"([^\[\]:]+|\[[^\[\]]+\])(:[0-9]*)?")
_HOST = re.compile(r"[A-Za-z0-9._~-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


# -- URLs


def check_url(url: str, schemes: Sequence[str]) -> str:
    """Leave a URL as it is, but for a name beyond ASCII, which becomes its A-label (RFC 5890).

    It is one that begins somewhere: absolute, with a host, without credentials, query or fragment.
    """
    parts = _split_url(url, schemes)
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError("must not have a query or a fragment")
    host = parts.hostname or ""
    if not host.isascii():
        port = "" if parts.port is None else f":{parts.port}"
        url = f"{parts.scheme}://{_a_label(host)}{port}{parts.path}"
    elif not _is_host(host, parts.netloc):
        raise ValueError("must name a host, or an IPv6 address in brackets")
    if not url.isascii():
        raise ValueError("must be visible ASCII, percent-encoded where needed")
    return url


def _split_url(url: str, schemes: Sequence[str]) -> SplitResult:
    """Take a URL apart; raises `ValueError` without any of it."""
    if not url.isprintable() or " " in url:
        raise ValueError("must be visible ASCII, percent-encoded where needed")
    wanted = f"must be an absolute {' or '.join(f'{scheme}://' for scheme in schemes)} URL"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(wanted) from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(wanted)
    if "@" in parts.netloc:
        raise ValueError("must not hold credentials: set username and password")
    if port == 0:
        raise ValueError("must not name port 0")
    return parts


def _is_host(host: str, authority: str) -> bool:
    if not _AUTHORITY.fullmatch(authority):
        return False
    return is_address(host) if "[" in authority else bool(_HOST.fullmatch(host))


def _a_label(host: str) -> str:
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise ValueError("must name a host that IDNA 2008 allows") from None


def is_address(host: str) -> bool:
    """Whether a host is an IP address, without a zone."""
    try:
        return "%" not in host and bool(ip_address(host))
    except ValueError:
        return False


# -- what is written in a line


def check_text(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must not hold control characters")
    return text


def split_list(value: object) -> object:
    """Read `a, b` as a list."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _check_secret(secret: SecretStr) -> SecretStr:
    check_text(secret.get_secret_value())
    return secret


def _dump_secret(secret: SecretStr, info: SerializationInfo) -> str:
    # Without this a SecretStr is silently stored as asterisks.
    return secret.get_secret_value() if info.context == REVEAL else str(secret)


def _count(value: object) -> object:
    """Keep `true` from being the number one."""
    if isinstance(value, bool):
        raise ValueError
    return value


def _check_bind_address(text: str) -> str:
    if not is_address(text):
        raise ValueError("must be an address of this machine")
    return text


REVEALED = PlainSerializer(_dump_secret)
Text = Annotated[str, AfterValidator(check_text)]
Secret = Annotated[SecretStr, AfterValidator(_check_secret), REVEALED]
Pem = Annotated[SecretStr, REVEALED]
Names = Annotated[tuple[str, ...], BeforeValidator(split_list)]
Count = Annotated[int, BeforeValidator(_count)]
Rate = Annotated[float, BeforeValidator(_count)]
Address = Annotated[str, AfterValidator(_check_bind_address)]
