"""What an origin says when it wants a token, and a token service when it gives one.

Pure: a challenge is read out of a response and makes the URL where the token is to be had; the
service's answer is the token and how long it lives. Both are written by strangers. What is not as
RFC 6750 and the registries have it is refused, with a sentence that repeats none of it; everything
has a longest length.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple
from urllib.parse import urlencode

from werkzeug.datastructures import WWWAuthenticate

from streamer.downloaders import redirects
from streamer.errors import RedirectRefused, TokenRefused
from streamer.model import OriginResponse

MAX_TOKEN_CHARACTERS = 16 * 1024 - len("Authorization: Bearer ")
"""What fits into one line of a head as servers read them; JSON Web Tokens have one to four KiB."""

DEFAULT_SECONDS = 60
"""What a token lives whose service does not say: the registries' own rule."""

MAX_SECONDS = 24 * 3600

_TOKEN = re.compile(r"[\x21-\x7e]+")
_BEARER = re.compile(r"(?:^|,)\s*(bearer\s.*)$", re.IGNORECASE | re.DOTALL)


class Challenge(NamedTuple):
    """What a token is for, as the origin said."""

    realm: str
    service: str | None
    scope: str | None

    @property
    def url(self) -> str:
        """Where the token is to be had."""
        asked = {"service": self.service, "scope": self.scope}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        if not query:
            return self.realm
        return f"{self.realm}{'&' if '?' in self.realm else '?'}{query}"


def read_challenge(url: str, response: OriginResponse) -> Challenge | None:
    """The Bearer challenge of a response to a request for `url`, or None where there is none.

    Raises `TokenRefused` where what it names may not be asked.
    """
    for name, value in response.fields:
        match = _BEARER.search(value) if name.lower() == "www-authenticate" else None
        found = None if match is None else WWWAuthenticate.from_header(match[1])
        if found is not None and (realm := found.get("realm")) is not None:
            realm = _checked_realm(url, realm)
            challenge = Challenge(realm, found.get("service"), found.get("scope"))
            if len(challenge.url) > redirects.MAX_CHARACTERS:
                raise TokenRefused("its URL is too long")
            return challenge
    return None


def _checked_realm(url: str, realm: str) -> str:
    try:
        target = redirects.checked_url(realm)
    except RedirectRefused as error:
        raise TokenRefused("its URL cannot be used") from error
    if redirects.is_downgrade(url, target):
        raise TokenRefused("it is to be asked over http, and the origin over https")
    return target


def read_token(content: bytes) -> tuple[str, float]:
    """The token and how many seconds it lives from now."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise TokenRefused("its answer is not JSON") from None
    if not isinstance(answer, dict):
        raise TokenRefused("its answer holds no token")
    token = answer.get("token") or answer.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise TokenRefused("its answer holds no token that can be sent")
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenRefused("its token is too long")
    return token, _lifetime_seconds(answer.get("expires_in"))


def _lifetime_seconds(stated: object) -> float:
    if not isinstance(stated, int | float) or isinstance(stated, bool) or not stated > 0:
        return DEFAULT_SECONDS
    return min(stated, MAX_SECONDS)
