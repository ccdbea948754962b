"""How one importer asks its origins: in turn, as whom, and on to where they redirect.

Strategy. One call of `Access.ask` is one use of one connection at a time, whatever it takes:

    slot ─ rate ─ request ─┬─ 401 with a challenge ─ token ─ rate ─ request …
                           ├─ redirect ─ rate ─ request …
                           └─ anything else: the answer

What lies between is read and dropped before the next request goes out, so that its connection can
carry that. The slot belongs to the answer from then on and is released when its content is over.
On every other way out, cancellation included, `queueing` releases it.

Kept apart from `http`, which knows what answer it wants; here no status is right or wrong. For each
hop `credentials` says what may be shown, and `connections` where it may go: to the importer's URL,
to one that an operator wrote into an entry, or to what an origin named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.web.iweb import IAgent

from streamer.downloaders import redirects, verbatim
from streamer.downloaders.challenges import Challenge, read_challenge
from streamer.downloaders.contents import HttpDownload
from streamer.downloaders.credentials import Credentials, origin_of
from streamer.downloaders.faults import origin_errors
from streamer.downloaders.learned import LearnedMirrors
from streamer.downloaders.limits import ByteRate, RequestRate, Slots
from streamer.downloaders.queueing import Queueing, on_a_slot
from streamer.downloaders.tokens import NO_TOKEN, Tokens
from streamer.errors import RedirectRefused, TokenRefused
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
        self,
        agents: Agents,
        credentials: Credentials,
        limits: Limits,
        clock: IReactorTime,
        learned: LearnedMirrors | None = None,
    ) -> None:
        """`learned` takes in what origins say of mirrors; None where that is not allowed."""
        self._agents = agents
        self._credentials = credentials
        self._limits = limits
        self._clock = clock
        self._learned = learned
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
        queueing = Queueing(self._clock)
        journey = _Journey(method, url, fields, is_relayed, is_learned, queueing)
        download, slot = await on_a_slot(
            self._limits.slots, queueing, lambda: self._follow(journey)
        )
        download.when_over(slot.release)
        return download

    async def _follow(self, journey: _Journey) -> HttpDownload:
        visited, is_for_good = [journey.url], True
        while True:
            download = await self._authorised(journey, visited[-1])
            self._learn(journey, visited, download.response)
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
            visited.append(self._next(journey, redirects.follow(visited, locations)))
        if journey.is_relayed and not is_for_good:
            _let_caches_ask_again(download)
        return download

    def _next(self, journey: _Journey, target: str) -> str:
        """Where a redirect leads; a stranger may not say what is asked with credentials."""
        is_strangers = journey.is_learned and not self._credentials.is_trusted(journey.url)
        if is_strangers and self._credentials.is_trusted(target):
            raise RedirectRefused("it leads from a mirror to where credentials are shown")
        return target

    def _learn(self, journey: _Journey, visited: Sequence[str], response: OriginResponse) -> None:
        """Take the word of the origin that an operator named, and of nobody that it leads to."""
        if self._learned is None or journey.is_learned or journey.is_relayed:
            return
        if len({origin_of(url) for url in visited}) == 1:
            self._learned.hear(journey.url, response)

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
    queueing: Queueing


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
