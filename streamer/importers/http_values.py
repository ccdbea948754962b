"""One value of a config of type `http`: what a URL, a field, a list or a secret has to look like.

Functions that return what they were given, or its one normal form, or raise `ValueError` with a
sentence that holds none of it; and the annotated types that `http_config` is made of.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

import idna
from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
)

from streamer.downloaders.credentials import origin_of

MAX_VALUE_CHARACTERS = 8 * 1024
"""Of one field: what common servers read in a line."""

REVEAL = {"reveal": True}
"""The context in which a secret is dumped as it is."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_HOST = re.compile(r"[A-Za-z0-9._~-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")

_CREDENTIAL_WORDS = (
    "auth",
    "cookie",
    "credential",
    "key",
    "passw",
    "secret",
    "session",
    "signature",
    "token",
)
_OUR_FIELDS = frozenset(
    {
        "accept-encoding",
        "cdn-loop",
        "connection",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
"""What this service says itself, and what concerns one connection alone (RFC 9110 7.6.1)."""

_OUR_PREFIXES = ("if-", "content-")


def _dump_secret(secret: SecretStr, info: SerializationInfo) -> str:
    # Without this a SecretStr is silently stored as asterisks.
    return secret.get_secret_value() if info.context == REVEAL else str(secret)


def _split_url(url: str) -> SplitResult:
    """Take a URL apart; raises `ValueError` without any of it."""
    if not url.isprintable() or " " in url:
        raise ValueError("must be visible ASCII, percent-encoded where needed")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("must be an absolute http:// or https:// URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an absolute http:// or https:// URL")
    if "@" in parts.netloc:
        raise ValueError("must not hold credentials: set username and password")
    if port == 0:
        raise ValueError("must not name port 0")
    return parts


def _check_url(url: str) -> str:
    """Leave a URL as it is, but for a name beyond ASCII, which becomes its A-label (RFC 5890)."""
    parts = _split_url(url)
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError("must not have a query or a fragment")
    host = parts.hostname or ""
    if not host.isascii():
        port = "" if parts.port is None else f":{parts.port}"
        url = f"{parts.scheme}://{_a_label(host)}{port}{parts.path}"
    elif not (_is_address(host) if "[" in parts.netloc else _HOST.fullmatch(host)):
        raise ValueError("must name a host, or an IPv6 address in brackets")
    if not url.isascii():
        raise ValueError("must be visible ASCII, percent-encoded where needed")
    return url


def _is_address(host: str) -> bool:
    try:
        return "%" not in host and bool(ip_address(host))
    except ValueError:
        return False


def _a_label(host: str) -> str:
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise ValueError("must name a host that IDNA 2008 allows") from None


def _check_origin(text: str) -> str:
    """Give an origin in its one form, with its port."""
    url = _check_url(text)
    if urlsplit(url).path not in ("", "/"):
        raise ValueError("must hold origins and no paths: https://HOST or https://HOST:PORT")
    return str(origin_of(url))


def _list(value: object) -> object:
    """Read `a, b` as a list."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def _count(value: object) -> object:
    """Keep `true` from being the number one."""
    if isinstance(value, bool):
        raise ValueError
    return value


def _check_text(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must not hold control characters")
    return text


def _check_username(name: str) -> str:
    if ":" in name:
        # RFC 7617 section 2: the first colon ends it.
        raise ValueError("must not hold a colon")
    return _check_text(name)


def _check_secret(secret: SecretStr) -> SecretStr:
    _check_text(secret.get_secret_value())
    return secret


def _check_visible(secret: SecretStr) -> SecretStr:
    if not _VISIBLE.fullmatch(secret.get_secret_value()):
        raise ValueError("must be visible ASCII without spaces")
    return secret


def _check_value(value: str) -> str:
    """RFC 9110 section 5.5, without the bytes that it calls obsolete."""
    if not _VALUE.fullmatch(value) or len(value) > MAX_VALUE_CHARACTERS:
        raise ValueError(
            f"must have values of visible ASCII, at most {MAX_VALUE_CHARACTERS} characters"
        )
    return value


def _check_secret_value(secret: SecretStr) -> SecretStr:
    _check_value(secret.get_secret_value())
    return secret


def _check_field_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("must have names of fields as RFC 9110 section 5.1 has them")
    if name.lower() == "user-agent":
        raise ValueError("must not hold User-Agent: set user_agent")
    if name.lower() in _OUR_FIELDS or name.lower().startswith(_OUR_PREFIXES):
        raise ValueError(
            "must not hold what is about a connection, a range, a condition or content:"
            " the service says that itself"
        )
    return name


def _check_plain_name(name: str) -> str:
    if any(word in name.lower() for word in _CREDENTIAL_WORDS):
        raise ValueError("must not hold a credential, as a name in it says: use secret_fields")
    return _check_field_name(name)


def _check_bind_address(text: str) -> str:
    if not _is_address(text):
        raise ValueError("must be an address of this machine")
    return text


_reveal = PlainSerializer(_dump_secret)
Secret = Annotated[SecretStr, AfterValidator(_check_secret), _reveal]
Bearer = Annotated[SecretStr, AfterValidator(_check_visible), _reveal]
Pem = Annotated[SecretStr, _reveal]
SecretValue = Annotated[SecretStr, AfterValidator(_check_secret_value), _reveal]
Value = Annotated[str, AfterValidator(_check_value)]
Username = Annotated[str, AfterValidator(_check_username)]
ProxyUsername = Annotated[str, AfterValidator(_check_text)]
Url = Annotated[str, AfterValidator(_check_url)]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_check_origin)], ...], BeforeValidator(_list)
]
Names = Annotated[tuple[str, ...], BeforeValidator(_list)]
Count = Annotated[int, BeforeValidator(_count)]
Rate = Annotated[float, BeforeValidator(_count)]
Version = Annotated[Literal["1.2", "1.3"], BeforeValidator(str)]
PlainName = Annotated[str, AfterValidator(_check_plain_name)]
SecretName = Annotated[str, AfterValidator(_check_field_name)]
Address = Annotated[str, AfterValidator(_check_bind_address)]
