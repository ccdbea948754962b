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

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple

from cachetools import LRUCache
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime

from streamer.downloaders.challenges import Challenge, read_token
from streamer.downloaders.shared_work import SharedWork
from streamer.downloaders.short_content import short_content
from streamer.errors import OriginError, OriginNonsense, TokenRefused
from streamer.interfaces import Download

MAX_ANSWER_BYTES = 64 * 1024
MAX_TOKENS = 256
MAX_PLACES = 1024
"""How many tokens are kept, and for how many folders of URLs it is known which one they want."""

LEEWAY = 0.1
"""The part of its life at the end of which a token is not used any more: clocks and ways differ."""

MAX_FETCH_SECONDS = 30
"""How long a service may take. Those who wait have limits of their own; but while new ones keep
joining them, nobody would be the last to leave a service that says nothing."""


class Grant(NamedTuple):
    """A token for one request, or none; `is_new` where it was fetched for that very request."""

    token: str | None
    challenge: Challenge | None = None
    is_new: bool = False

    def __repr__(self) -> str:
        return f"Grant(is_new={self.is_new})"

    def is_all_for(self, challenge: Challenge) -> bool:
        """Whether there is no better answer to this challenge than the one that met it."""
        return self.is_new and self.challenge == challenge


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
        self._flights: dict[Challenge, SharedWork[str]] = {}

    async def known_for(self, url: str) -> Grant:
        """What a request for `url` needs as far as its neighbours have shown: often nothing.

        Nothing, too, where that cannot be had: the origin may want something else by now, and says
        so.
        """
        folder, grant = _folder(url), NO_TOKEN
        if (challenge := self._wanted.get(folder)) is None:
            return NO_TOKEN
        try:
            with suppress(TokenRefused):
                grant = await self._grant(challenge)
            return grant
        finally:
            # Who was cancelled could not wait any longer: the next one need not wait for the same.
            if grant is NO_TOKEN:
                self._wanted.pop(folder, None)

    async def answer(self, url: str, challenge: Challenge, refused: str | None) -> Grant:
        """A token for a challenge that `url` has met, another one than was `refused`.

        Raises `TokenRefused` where there is none to be had.
        """
        if self._kept(challenge) == refused:
            self._tokens.pop(challenge, None)
        grant = await self._grant(challenge)
        self._wanted[_folder(url)] = challenge
        return grant

    async def _grant(self, challenge: Challenge) -> Grant:
        if (token := self._kept(challenge)) is not None:
            return Grant(token, challenge)
        flight = self._flights.get(challenge)
        if flight is None:
            flight = self._flights[challenge] = SharedWork[str](lambda: self._landed(challenge))
            joined = flight.join()
            flight.start(self._fetched_in_time(challenge))
        else:
            joined = flight.join()
        return Grant(await joined, challenge, is_new=True)

    def _kept(self, challenge: Challenge) -> str | None:
        token, until = self._tokens.get(challenge, (None, 0.0))
        return token if self._clock.seconds() < until else None

    def _landed(self, challenge: Challenge) -> None:
        self._flights.pop(challenge, None)

    async def _fetched_in_time(self, challenge: Challenge) -> str:
        fetching = Deferred.fromCoroutine(self._fetched(challenge))
        try:
            return await fetching.addTimeout(MAX_FETCH_SECONDS, self._clock)
        except TookTooLong:
            raise TokenRefused("it takes too long") from None

    async def _fetched(self, challenge: Challenge) -> str:
        asked_at = self._clock.seconds()
        try:
            download = await self._fetch(challenge.url)
        except OriginError as error:
            raise TokenRefused(_reason(error)) from error
        content = await _content(download)
        token, seconds = read_token(content)
        self._tokens[challenge] = (token, asked_at + seconds * (1 - LEEWAY))
        return token


def _reason(error: OriginError) -> str:
    """What an origin would be told to have done wrong, said of the service."""
    return str(error).replace("the origin's", "its").replace("the origin", "it")


def _folder(url: str) -> str:
    """The URL up to the last segment of its path."""
    return url.partition("?")[0].rpartition("/")[0]


async def _content(download: Download) -> bytes:
    """All that the service answers."""
    status = download.response.status
    if status != 200:
        download.stop()
        raise TokenRefused(f"it answered {status}")
    try:
        return await short_content(download, MAX_ANSWER_BYTES)
    except OriginNonsense:
        raise TokenRefused("its answer is too long") from None
    except OriginError:
        raise TokenRefused("its answer broke off") from None
