"""Threads of the store's own, so that no file and no server ever holds the reactor, or an exit.

Separate because those who read and those who write have some each: a batch that takes long delays
no look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class ReactorOfThreads(IReactorFromThreads, IReactorTime):
    """What is asked of the reactor: threads that report back, and time."""


class _DaemonThread(Thread):
    """A thread that does not keep the process from ending."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, daemon=True, **kwargs)


class Threads:
    """So many threads, made when they are needed."""

    def __init__(self, reactor: ReactorOfThreads, number: int, name: str) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, number, name)
        self._pool.threadFactory = _DaemonThread
        self.unanswered = 0

    def start(self) -> None:
        """Begin to take work in."""
        self._pool.start()

    def stop(self) -> bool:
        """End them, unless one hangs: that ends by itself, or with the process."""
        if self.unanswered:
            return False
        self._pool.stop()
        return True

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Have `work` done as soon as a thread is free."""
        self.unanswered += 1

        def answered(result: T) -> T:
            self.unanswered -= 1
            return result

        return deferToThreadPool(self._reactor, self._pool, work).addBoth(answered)
