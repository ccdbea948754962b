"""One value of a config of type `http`: what an origin, a field or a credential has to look like.

As `config_values`, which holds what is of no protocol: functions that give a value's normal form or
raise `ValueError` with a sentence that holds none of it, and the annotated types made of them.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from streamer.downloaders.credentials import origin_of
from streamer.importers.config_values import REVEALED, check_text, check_url, split_list

MAX_VALUE_CHARACTERS = 8 * 1024
"""Of one field: what common servers read in a line."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
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


def _check_url(url: str) -> str:
    return check_url(url, ("http", "https"))


def _check_origin(text: str) -> str:
    """Give an origin in its one form, with its port."""
    url = _check_url(text)
    if urlsplit(url).path not in ("", "/"):
        raise ValueError("must hold origins and no paths: https://HOST or https://HOST:PORT")
    return str(origin_of(url))


def _check_username(name: str) -> str:
    if ":" in name:
        # RFC 7617 section 2: the first colon ends it.
        raise ValueError("must not hold a colon")
    return check_text(name)


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


def speaks_of_a_credential(name: str) -> bool:
    """Whether what is called so had better not be shown."""
    return any(word in name.lower() for word in _CREDENTIAL_WORDS)


def _check_plain_name(name: str) -> str:
    if speaks_of_a_credential(name):
        raise ValueError("must not hold a credential, as a name in it says: use secret_fields")
    return _check_field_name(name)


Bearer = Annotated[SecretStr, AfterValidator(_check_visible), REVEALED]
SecretValue = Annotated[SecretStr, AfterValidator(_check_secret_value), REVEALED]
Value = Annotated[str, AfterValidator(_check_value)]
Username = Annotated[str, AfterValidator(_check_username)]
Url = Annotated[str, AfterValidator(_check_url)]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_check_origin)], ...], BeforeValidator(split_list)
]
PlainName = Annotated[str, AfterValidator(_check_plain_name)]
SecretName = Annotated[str, AfterValidator(_check_field_name)]
