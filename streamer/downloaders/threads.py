"""Threads for calls that may never return, those of one importer apart from everybody else's.

A read from a network mount whose server is silent holds its thread for as long as it likes. So such
calls go neither to the reactor's pool, in which names are looked up, nor to one that importers
share: what hangs takes the threads of its own importer and of no other. And these are daemon
threads that nobody joins, so that they do not keep the process from ending, which both Twisted's
`ThreadPool.stop` and `concurrent.futures` would.

A thread is started when there is work that no idle one can do, and ends when it had none for a
while. What waits is bounded by whoever asks; nothing here is cancelled.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

IDLE_SECONDS = 5.0
"""How long a thread waits for more work: longer than between two reads of a transfer."""

T = TypeVar("T")


class NoThread(OSError):
    """The system grants no thread, and none is there already."""


_Task = tuple[Callable[[], Any], "Deferred[Any]"]


class Threads:
    """Up to `limit` threads, which do what they are given, first come, first served."""

    def __init__(
        self,
        limit: int,
        name: str,
        reactor: IReactorFromThreads,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._name = name
        self._reactor = reactor
        self._changed = Condition()
        self._tasks: deque[_Task] = deque()
        self._running = 0
        self._idle = 0
        self._is_closed = False

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Call `work` in a thread; the Deferred fires with what it returns or raises, never now.

        It must not be cancelled. It fails with `NoThread` if there can be none at all.
        """
        answer: Deferred[T] = Deferred()
        with self._changed:
            self._tasks.append((work, answer))
            if len(self._tasks) > self._idle and self._running < self._limit:
                self._start_thread()
            self._changed.notify()
        return answer

    def close(self) -> None:
        """Let threads end as soon as they have no work, instead of a while later."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _start_thread(self) -> None:
        thread = Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # There are too many in all; one that runs already will come to it.
            if not self._running:
                _, answer = self._tasks.pop()
                refusal = NoThread(errno.EAGAIN, "no thread can be started")
                self._reactor.callFromThread(answer.errback, refusal)
        else:
            self._running += 1

    # -- in the threads

    def _work(self) -> None:
        while (task := self._next()) is not None:
            self._do(*task)
            del task  # it may hold a chunk of content

    def _next(self) -> _Task | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._tasks or self._is_closed, self._idle_seconds)
            self._idle -= 1
            if self._tasks:
                return self._tasks.popleft()
            self._running -= 1
            return None

    def _do(self, work: Callable[[], Any], answer: Deferred[Any]) -> None:
        try:
            result = work()
        except BaseException:
            result = Failure()
        self._reactor.callFromThread(answer.callback, result)
