"""The token dance of container registries: a challenge, a token service, a bearer token.

An origin answers 401 with `WWW-Authenticate: Bearer realm="…",service="…",scope="…"`; the realm is
a URL that gives a token for these, and the request is made again with it. Only challenges of
trusted origins are heard, and tokens go to trusted origins alone. The realm sees credentials if it
is trusted itself, and else none: it is a URL that an origin named.

Shared by all downloads of one importer. Whoever needs a token that is being fetched waits for that
one; a waiter that is cancelled leaves the fetch to the others, and the last one ends it. Every
store here is bounded. No sentence of a refusal holds a URL or a credential.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple
from urllib.parse import urlencode

from cachetools import LRUCache
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from werkzeug.datastructures import WWWAuthenticate

from streamer.downloaders import redirects
from streamer.errors import OriginError, RedirectRefused, TokenRefused
from streamer.interfaces import Download
from streamer.model import OriginResponse

MAX_ANSWER_BYTES = 64 * 1024
MAX_TOKEN_CHARACTERS = 16 * 1024 - len("Authorization: Bearer ")
"""What fits into one line of a head as servers read them; JSON Web Tokens have one to four KiB."""

MAX_TOKENS = 256
MAX_PLACES = 1024
"""How many tokens are kept, and for how many folders of URLs it is known which one they want."""

DEFAULT_SECONDS = 60
"""What a token lives whose service does not say: the registries' own rule."""

MAX_SECONDS = 24 * 3600
LEEWAY = 0.1
"""The part of its life at the end of which a token is not used any more: clocks and ways differ."""

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


class Grant(NamedTuple):
    """A token for one request, or none; `is_new` where it was fetched for that very request."""

    token: str | None
    is_new: bool = False

    def __repr__(self) -> str:
        return f"Grant(is_new={self.is_new})"


NO_TOKEN = Grant(None)


class Tokens:
    """The tokens of one importer, and what is known of where they are wanted."""

    def __init__(
        self, fetch: Callable[[str], Coroutine[Any, Any, Download]], clock: IReactorTime
    ) -> None:
        """`fetch` asks for a URL with what its origin may see, and follows no redirect."""
        self._fetch = fetch
        self._clock = clock
        self._wanted: LRUCache[str, Challenge] = LRUCache(MAX_PLACES)
        self._tokens: LRUCache[Challenge, tuple[str, float]] = LRUCache(MAX_TOKENS)
        self._flights: dict[Challenge, _Flight] = {}

    async def known_for(self, url: str) -> Grant:
        """What a request for `url` needs as far as its neighbours have shown: often nothing.

        Raises an `OriginError` where a token is needed and not given.
        """
        challenge = self._wanted.get(_folder(url))
        return NO_TOKEN if challenge is None else await self._grant(challenge)

    async def answer(self, url: str, challenge: Challenge, refused: str | None) -> Grant:
        """A token for a challenge that `url` has met, another one than was `refused`."""
        self._wanted[_folder(url)] = challenge
        if self._kept(challenge) == refused:
            self._tokens.pop(challenge, None)
        return await self._grant(challenge)

    async def _grant(self, challenge: Challenge) -> Grant:
        if (token := self._kept(challenge)) is not None:
            return Grant(token)
        flight = self._flights.get(challenge)
        if flight is None:
            flight = self._flights[challenge] = _Flight(lambda: self._landed(challenge))
            joined = flight.join()
            flight.start(self._fetched(challenge))
        else:
            joined = flight.join()
        return Grant(await joined, is_new=True)

    def _kept(self, challenge: Challenge) -> str | None:
        token, until = self._tokens.get(challenge, (None, 0.0))
        return token if self._clock.seconds() < until else None

    def _landed(self, challenge: Challenge) -> None:
        self._flights.pop(challenge, None)

    async def _fetched(self, challenge: Challenge) -> str:
        asked_at = self._clock.seconds()
        try:
            download = await self._fetch(challenge.url)
        except OriginError as error:
            raise TokenRefused(_reason(error)) from error
        content = await _content(download)
        token, seconds = _read_token(content)
        self._tokens[challenge] = (token, asked_at + seconds * (1 - LEEWAY))
        return token


def _reason(error: OriginError) -> str:
    """What an origin would be told to have done wrong, said of the service."""
    return str(error).replace("the origin's", "its").replace("the origin", "it")


class _Flight:
    """One fetch of a token, and those who wait for it."""

    def __init__(self, landed: Callable[[], None]) -> None:
        self._landed = landed
        self._waiting: list[Deferred[str]] = []
        self._fetching: Deferred[str] | None = None

    def join(self) -> Deferred[str]:
        waiter: Deferred[str] = Deferred(self._leave)
        self._waiting.append(waiter)
        return waiter

    def start(self, fetch: Coroutine[Any, Any, str]) -> None:
        self._fetching = Deferred.fromCoroutine(fetch)
        self._fetching.addBoth(self._land)

    def _leave(self, waiter: Deferred[str]) -> None:
        self._waiting.remove(waiter)
        if not self._waiting and self._fetching is not None:
            self._landed()
            self._fetching.cancel()

    def _land(self, result: str | Failure) -> None:
        """Tell those who are left; where nobody is, the fetch was cancelled."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._landed()
        for waiter in waiting:
            waiter.callback(result)  # a Failure makes it an errback


# -- what origins and token services say -----------------------------------------------------------


def read_challenge(url: str, response: OriginResponse) -> Challenge | None:
    """The Bearer challenge of a response to a request for `url`, or None where there is none.

    Raises `TokenRefused` where its realm is not a URL that may be asked.
    """
    for name, value in response.fields:
        match = _BEARER.search(value) if name.lower() == "www-authenticate" else None
        found = None if match is None else WWWAuthenticate.from_header(match[1])
        if found is not None and (realm := found.get("realm")) is not None:
            return Challenge(_checked_realm(url, realm), found.get("service"), found.get("scope"))
    return None


def _checked_realm(url: str, realm: str) -> str:
    try:
        target = redirects.checked_url(realm)
    except RedirectRefused as error:
        raise TokenRefused("its URL cannot be used") from error
    if redirects.is_downgrade(url, target):
        raise TokenRefused("it is to be asked over http, and the origin over https")
    return target


def _folder(url: str) -> str:
    """The URL up to the last segment of its path."""
    return url.partition("?")[0].rpartition("/")[0]


def _read_token(content: bytes) -> tuple[str, float]:
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


async def _content(download: Download) -> bytes:
    """All that the service answers; the download is stopped on every path."""
    status = download.response.status
    try:
        if status != 200:
            raise TokenRefused(f"it answered {status}")
        answer = _Answer()
        download.deliver(answer)
        return await answer.whole
    finally:
        download.stop()


class _Answer:
    """A sink that holds a short answer."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._chunks: list[bytes] = []
        self._bytes = 0

    def content_received(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._bytes += len(chunk)
        if self._bytes > MAX_ANSWER_BYTES and not self.whole.called:
            self.whole.errback(TokenRefused("its answer is too long"))

    def content_ended(self, error: OriginError | None) -> None:
        if self.whole.called:
            return
        if error is None:
            self.whole.callback(b"".join(self._chunks))
        else:
            self.whole.errback(TokenRefused("its answer broke off"))
