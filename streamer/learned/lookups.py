"""Look-ups in the store that nobody ever waits for: in threads, few at a time, for a moment only.

Separate from `threaded`, which knows what is in memory, because everything here is about a database
that may be slow, hang, or be away. While one look-up is late no other is begun, so a store that
hangs costs a few exchanges a moment, and not every one.
"""

from __future__ import annotations

import math

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.python.failure import Failure

from streamer.learned.failures import StoreUnavailable
from streamer.learned.store import PieceStore, Stored
from streamer.learned.threads import ReactorOfThreads, Threads
from streamer.learned.trouble import PAUSE_SECONDS, Trouble, unavailable

THREADS = 2

MOST_WAITING = 256
"""At some hundred microseconds each they are all answered in time; more would be late."""

ANSWER_SECONDS = 0.2

HANG_SECONDS = 5.0
"""A look-up that is late by so much is trouble; on a busy machine one may be late by less."""


class LookUpSkipped(Exception):
    """It was not begun."""


class LookUpLate(Exception):
    """It was given up."""


class LookUps:
    """Asks the store between `start` and `stop`."""

    def __init__(self, store: PieceStore, reactor: ReactorOfThreads, trouble: Trouble) -> None:
        self._store = store
        self._reactor = reactor
        self._trouble = trouble
        self._threads = Threads(reactor, THREADS, "pieces to read")
        self._late: dict[Deferred[Stored | None], float] = {}
        self._is_running = False

    def start(self) -> None:
        """Begin to ask."""
        self._threads.start()
        self._is_running = True

    def stop(self) -> bool:
        """Ask no more; False where a look-up still runs."""
        self._is_running = False
        return self._threads.stop()

    async def find(self, digest: str, size: int) -> Stored | None:
        """Ask for a row; raises `LookUpSkipped`, `LookUpLate` or `StoreUnavailable`."""
        if not self._may_ask():
            raise LookUpSkipped
        answer: Deferred[Stored | None] = Deferred()

        def ask() -> Stored | None:
            if answer.called:
                raise LookUpSkipped
            return self._store.read(digest, size)

        def settle(result: Stored | Failure | None) -> None:
            self._late.pop(answer, None)
            result = self._judged(result)
            if not answer.called:
                answer.callback(result)

        self._threads.run(ask).addBoth(settle)
        try:
            return await answer.addTimeout(ANSWER_SECONDS, self._reactor)
        except TookTooLong:
            self._late[answer] = self._reactor.seconds()
            raise LookUpLate from None

    def _may_ask(self) -> bool:
        self._notice_hanging()
        return (
            self._is_running
            and not self._late
            and self._threads.unanswered < MOST_WAITING
            and not self._trouble.pauses("reading")
        )

    def _notice_hanging(self) -> None:
        longest = self._reactor.seconds() - min(self._late.values(), default=math.inf)
        if longest >= HANG_SECONDS:
            self._trouble.failed("reading", StoreUnavailable("it does not answer in time"), 0)

    def _judged(self, result: Stored | Failure | None) -> Stored | Failure | None:
        """Learn from an answer, also from one that comes too late, whether the store works."""
        if not isinstance(result, Failure):
            self._trouble.worked("reading")
            return result
        if result.check(LookUpSkipped):
            return result
        error = unavailable(result)
        self._trouble.failed("reading", error, PAUSE_SECONDS)
        return Failure(error)
