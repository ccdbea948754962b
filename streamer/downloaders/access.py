"""How one importer asks its origins: in turn, as whom, and on to where they redirect.

Strategy. One call of `Access.ask` is one use of one connection at a time, whatever it takes:

    slot ─ rate ─ request ─┬─ 401 with a challenge ─ token ─ rate ─ request …
                           ├─ redirect ─ rate ─ request …
                           └─ anything else: the answer

What lies between is read and dropped before the next request goes out, so that its connection can
carry that. The slot belongs to the answer from then on and is released when its content is over.
On every other way out, cancellation included, it is released here.

Kept apart from `http`, which knows what answer it wants; here no status is right or wrong. For each
hop `credentials` says what may be shown, and `connections` where it may go: to the importer's URL,
to one that an operator wrote into an entry, or to what an origin named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.web.iweb import IAgent

from streamer.downloaders import redirects, verbatim
from streamer.downloaders.challenges import Challenge, read_challenge
from streamer.downloaders.contents import HttpDownload
from streamer.downloaders.credentials import Credentials, origin_of
from streamer.downloaders.faults import origin_errors
from streamer.downloaders.limits import ByteRate, RequestRate, Slots
from streamer.downloaders.tokens import NO_TOKEN, Tokens
from streamer.errors import OriginCrowded, OriginError, TokenRefused
from streamer.model import Fields, OriginResponse

MAX_TOKENS_TRIED = 3
"""One that the neighbours want; one that was kept for what this URL wants, and is not taken any
more; and a new one."""

RESTING_TURNS = 2
"""Turns of the reactor until a connection is back in its pool, or closed, as `limits` has it."""


class Agents(Protocol):
    """What `connections.Connections` is to a request."""

    def agent(self, url: str, *, is_learned: bool = True) -> IAgent:
        """The agent for a URL; `is_learned` where no operator wrote it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one importer may use, all its downloads together."""

    slots: Slots
    requests: RequestRate | None = None
    bytes: ByteRate | None = None


class Access:
    """One importer's way to its origins; shared by its downloads."""

    def __init__(
        self, agents: Agents, credentials: Credentials, limits: Limits, clock: IReactorTime
    ) -> None:
        self._agents = agents
        self._credentials = credentials
        self._limits = limits
        self._clock = clock
        self._tokens = Tokens(self._fetch_token, clock)

    async def ask(
        self,
        method: str,
        url: str,
        fields: Fields,
        *,
        is_relayed: bool = False,
        is_learned: bool = False,
    ) -> HttpDownload:
        """Complete with an answer that is no redirect, whatever its status.

        `is_learned` where no operator wrote the URL. A relayed request is told where it would
        merely get a slash: status 302, a relative Location. Its content has to show its end. Raises
        an `OriginError`.
        """
        queueing = _Queueing(self._clock)
        with queueing.going_on():
            slot = await self._limits.slots.take()
        try:
            download = await self._within_slot(
                _Journey(method, url, fields, is_relayed, is_learned, queueing)
            )
        except BaseException:
            slot.release()
            raise
        download.when_over(slot.release)
        return download

    async def _within_slot(self, journey: _Journey) -> HttpDownload:
        """Follow the journey; cancelled, say whose fault it is that the time was over.

        Who has queued here for most of it has learned nothing of the origin.
        """
        following = Deferred.fromCoroutine(self._follow(journey))
        is_cancelled = False

        def cancel(_: object) -> None:
            nonlocal is_cancelled
            is_cancelled = True
            following.cancel()

        answer: Deferred[HttpDownload] = Deferred(cancel)
        following.addCallbacks(answer.callback, answer.errback)
        try:
            return await answer
        except (CancelledError, OriginError) as error:
            if not is_cancelled:
                raise
            if journey.queueing.was_most:
                raise OriginCrowded(self._limits.slots.limit) from error
            # Cancelling the look-up of a name comes back as if the name did not exist.
            raise CancelledError from error

    async def _follow(self, journey: _Journey) -> HttpDownload:
        visited, is_for_good = [journey.url], True
        while True:
            download = await self._authorised(journey, visited[-1])
            status = download.response.status
            if status not in redirects.STATUSES:
                break
            is_for_good &= status in redirects.PERMANENT
            locations = _values(download.response, "location")
            if journey.is_relayed and len(visited) == 1:
                place = redirects.added_slash(journey.url, locations)
                if place is not None:
                    return _moved(download, place)
            await self._discarded(download)
            visited.append(redirects.follow(visited, locations))
        if journey.is_relayed and not is_for_good:
            _let_caches_ask_again(download)
        return download

    async def _authorised(self, journey: _Journey, url: str) -> HttpDownload:
        """The answer to a request for `url`, with a token if that is what it takes."""
        dances = self._credentials.takes_tokens and self._credentials.is_trusted(url)
        grant = await self._tokens.known_for(url) if dances else NO_TOKEN
        tried = 0
        while True:
            download = await self._request(journey, url, grant.token)
            tried += grant.token is not None
            if not dances or tried >= MAX_TOKENS_TRIED:
                return download
            challenge = self._challenge(download, url)
            if challenge is None or grant.is_all_for(challenge):
                return download
            await self._discarded(download)
            grant = await self._tokens.answer(url, challenge, refused=grant.token)

    def _challenge(self, download: HttpDownload, url: str) -> Challenge | None:
        if download.response.status != 401:
            return None
        try:
            return read_challenge(url, download.response)
        except TokenRefused:
            download.stop()
            raise

    async def _request(self, journey: _Journey, url: str, token: str | None) -> HttpDownload:
        with origin_errors():
            shown = self._credentials.fields_for(url, token)
            is_learned = journey.is_learned or origin_of(url) != origin_of(journey.url)
            agent = self._agents.agent(url, is_learned=is_learned)
        if self._limits.requests is not None:
            with journey.queueing.going_on():
                await self._limits.requests.turn()
        with origin_errors():
            origin, response = await verbatim.ask(
                agent, journey.method, url, (*shown, *journey.fields), self._clock
            )
        return HttpDownload(
            origin, response, self._clock, self._limits.bytes, is_strict=journey.is_relayed
        )

    async def _fetch_token(self, url: str) -> HttpDownload:
        with origin_errors():
            shown = self._credentials.fields_for(url)
            origin, response = await verbatim.ask(
                self._agents.agent(url), "GET", url, shown, self._clock
            )
        return HttpDownload(origin, response, self._clock)

    async def _discarded(self, download: HttpDownload) -> None:
        """Wait until a connection is free again and back in its pool, or given up."""
        await download.discard()
        for _ in range(RESTING_TURNS):
            rested: Deferred[None] = deferLater(self._clock, 0, lambda: None)
            await rested


@dataclass(frozen=True, slots=True)
class _Journey:
    """What stays the same from one hop to the next."""

    method: str
    url: str
    fields: Fields
    is_relayed: bool
    is_learned: bool
    queueing: _Queueing


class _Queueing:
    """How long was waited for what is not the origin's to give: a slot, or a turn."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._began_at = clock.seconds()
        self._seconds = 0.0

    @contextmanager
    def going_on(self) -> Iterator[None]:
        began_at = self._clock.seconds()
        try:
            yield
        finally:
            self._seconds += self._clock.seconds() - began_at

    @property
    def was_most(self) -> bool:
        """Whether it took longer than everything else until now."""
        return 2 * self._seconds > self._clock.seconds() - self._began_at


def _values(response: OriginResponse, name: str) -> Sequence[str]:
    return [value for key, value in response.fields if key.lower() == name]


def _let_caches_ask_again(download: HttpDownload) -> None:
    """How long an answer is fresh holds for its own URL, not for one that led there this time."""
    fields = (*download.response.fields, ("Cache-Control", "no-cache"))
    download.response = replace(download.response, fields=fields)


def _moved(download: HttpDownload, place: str) -> HttpDownload:
    fields = (("Location", place),)
    download.response = replace(download.response, status=302, fields=fields)
    return download
