"""One piece of work for all who want what comes of it.

Who is cancelled leaves it to the others, and the last one to leave ends it. Separate because tokens
and lists of mirrors are both wanted by many at once, and asked for by nobody in particular.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class SharedWork(Generic[T]):
    """The work, and those who wait for it. `landed` is called once, before they are told."""

    def __init__(self, landed: Callable[[], None]) -> None:
        self._landed = landed
        self._waiting: list[Deferred[T]] = []
        self._work: Deferred[None] | None = None

    def join(self) -> Deferred[T]:
        """Wait for it; may be cancelled."""
        waiter: Deferred[T] = Deferred(self._leave)
        self._waiting.append(waiter)
        return waiter

    def start(self, work: Coroutine[Any, Any, T]) -> None:
        """Begin; whoever is to be told from the first has joined already."""
        running = Deferred.fromCoroutine(work)
        self._work = running.addBoth(self._land)

    def _leave(self, waiter: Deferred[T]) -> None:
        self._waiting.remove(waiter)
        if not self._waiting and self._work is not None:
            self._landed()
            self._work.cancel()

    def _land(self, result: T | Failure) -> None:
        """Tell those who are left; where nobody is, the work was cancelled.

        One who is told may make another one leave, who is not told then.
        """
        self._work = None
        if self._waiting:
            self._landed()
        while self._waiting:
            self._waiting.pop(0).callback(result)  # a Failure makes it an errback
