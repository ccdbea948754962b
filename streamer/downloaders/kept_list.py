"""The list of mirrors of one importer: fetched when it is wanted, kept while the process lives.

A list that is known is given at once, and fetched anew behind the back of whoever asked once its
lifetime is over: an old list is better than no answer, since mirrors that have gone are left alone
soon. Who comes before there is a list waits for it, all for the same fetch. It goes on when they
leave, because a service that is slower than any of them is patient would else never be heard. That
the list cannot be had is told to all who ask within some seconds, so that a service in trouble is
not asked by every client.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.downloaders.shared_work import SharedWork
from streamer.errors import OriginError, OriginTimedOut
from streamer.mirrors import Mirror

FETCH_SECONDS = 30.0
"""Those who wait have limits of their own, but a fetch goes on without them."""

RETRY_SECONDS = 60.0
"""How long after a refresh that fails the next one begins, or sooner if the lifetime is shorter."""

PATIENCE_SECONDS = 5.0
"""How long a failure is told to those who come while no list is known."""

Mirrors = tuple[Mirror, ...]

_log = Logger()


class _Term:
    """Some seconds from now on; a clock that is set back ends them, and does not add to them.

    The reactor's clock is the time of day, which may be wrong by hours while a machine starts.
    """

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._began_at = clock.seconds()
        self._seconds = seconds

    def lasts(self) -> bool:
        return 0 <= self._clock.seconds() - self._began_at < self._seconds


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
        self._rest = _Term(clock, 0)
        self._failure: OriginError | None = None
        self._patience = _Term(clock, 0)
        self._work: SharedWork[Mirrors] | None = None
        self._own: Deferred[Mirrors | None] | None = None
        self._is_closed = False

    async def mirrors(self) -> Mirrors:
        """The list, at once if one is known; raises the `OriginError` that kept it away."""
        if self._mirrors is not None:
            if self._work is None and not self._is_closed and not self._rest.lasts():
                self._begin(SharedWork(self._landed))
            return self._mirrors
        if self._failure is not None and self._patience.lasts():
            # A copy: an error that is raised again and again keeps the frames of each time.
            raise copy(self._failure)
        work = self._work or SharedWork[Mirrors](self._landed)
        waiting = work.join()
        if self._work is None:
            self._begin(work)
        return await waiting

    def close(self) -> None:
        """Give up a fetch that is under way, unless somebody waits for it."""
        self._is_closed = True
        if self._own is not None:
            self._own.cancel()

    def _begin(self, work: SharedWork[Mirrors]) -> None:
        self._work = work
        if not self._is_closed:
            self._own = work.join().addErrback(_told_already)
        work.start(self._fetched())

    def _landed(self) -> None:
        self._work = None

    async def _fetched(self) -> Mirrors:
        """The list, which is kept; whatever else becomes of it, it is not asked for again soon."""
        self._rest = _Term(self._clock, min(RETRY_SECONDS, self._lifetime))
        fetching = Deferred.fromCoroutine(self._fetch())
        try:
            mirrors = await fetching.addTimeout(FETCH_SECONDS, self._clock)
        except TookTooLong:
            raise self._missed(OriginTimedOut()) from None
        except OriginError as error:
            raise self._missed(error) from None
        self._mirrors, self._failure = mirrors, None
        self._rest = _Term(self._clock, self._lifetime)
        return mirrors

    def _missed(self, error: OriginError) -> OriginError:
        """Say so; `error` is given on."""
        self._failure = copy(error)
        self._patience = _Term(self._clock, PATIENCE_SECONDS)
        _log.warn(
            "the list of mirrors at {where} could not be fetched: {why}{rest}",
            where=self._where,
            why=str(error),
            rest="" if self._mirrors is None else "; the last one stays in use",
        )
        return error


def _told_already(failure: Failure) -> None:
    """An `OriginError` is in the log; anything else is a defect that nobody may be waiting for."""
    if not failure.check(OriginError, CancelledError):
        _log.failure("reading a list of mirrors failed in a way that is a defect", failure)
