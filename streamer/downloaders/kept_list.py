"""The list of mirrors of one importer: fetched when it is wanted, kept while the process lives.

A list that is known is given at once, and fetched anew behind the back of whoever asked once its
lifetime is over: an old list is better than no answer, since mirrors that have gone are left alone
soon. Who comes before there is a list waits for it, all for the same fetch. That it cannot be had
is told to all who ask within some seconds, so that a list service in trouble is not asked by every
client.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from streamer.downloaders.shared_work import SharedWork
from streamer.errors import OriginError, OriginTimedOut
from streamer.mirrors import Mirror

FETCH_SECONDS = 30.0
"""Those who wait have limits of their own; but a refresh has nobody who waits."""

RETRY_SECONDS = 60.0
"""After how long a refresh that failed is tried again, or sooner where the lifetime is shorter."""

PATIENCE_SECONDS = 5.0
"""How long a failure is told to those who come while no list is known."""

Mirrors = tuple[Mirror, ...]

_log = Logger()


class KeptList:
    """Rule: at any moment one fetch is under way at most."""

    def __init__(
        self,
        where: str,
        fetch: Callable[[], Coroutine[Any, Any, Mirrors]],
        clock: IReactorTime,
        lifetime_seconds: float,
    ) -> None:
        """`where` names the origin of the list in the log; `fetch` raises an `OriginError`."""
        self._where = where
        self._fetch = fetch
        self._clock = clock
        self._lifetime = lifetime_seconds
        self._mirrors: Mirrors | None = None
        self._fresh_until = 0.0
        self._failure: OriginError | None = None
        self._failed_until = 0.0
        self._work: SharedWork[Mirrors] | None = None
        self._refreshing: Deferred[object] | None = None

    async def mirrors(self) -> Mirrors:
        """The list, at once if one is known; raises the `OriginError` that kept it away."""
        now = self._clock.seconds()
        if self._mirrors is not None:
            if now >= self._fresh_until and self._work is None:
                self._refreshing = self._joined().addErrback(lambda _: None)
            return self._mirrors
        if self._failure is not None and now < self._failed_until:
            raise self._failure
        return await self._joined()

    def close(self) -> None:
        """Give up a refresh that is under way."""
        if self._refreshing is not None:
            self._refreshing.cancel()

    def _joined(self) -> Deferred[Mirrors]:
        if self._work is not None:
            return self._work.join()
        work = self._work = SharedWork[Mirrors](self._landed)
        joined = work.join()
        work.start(self._fetched())
        return joined

    def _landed(self) -> None:
        self._work = None

    async def _fetched(self) -> Mirrors:
        fetching = Deferred.fromCoroutine(self._fetch())
        try:
            mirrors = await fetching.addTimeout(FETCH_SECONDS, self._clock)
        except TookTooLong:
            raise self._missed(OriginTimedOut()) from None
        except OriginError as error:
            raise self._missed(error) from None
        self._mirrors = mirrors
        self._fresh_until = self._clock.seconds() + self._lifetime
        return mirrors

    def _missed(self, error: OriginError) -> OriginError:
        now = self._clock.seconds()
        self._failure, self._failed_until = error, now + PATIENCE_SECONDS
        self._fresh_until = now + min(RETRY_SECONDS, self._lifetime)
        _log.warn(
            "the list of mirrors at {where} could not be fetched: {why}{rest}",
            where=self._where,
            why=str(error),
            rest="" if self._mirrors is None else "; the last one stays in use",
        )
        return error
