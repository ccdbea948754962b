"""The catalog as the service uses it: the port `interfaces.Catalog` over a thread pool of its own.

Separate from `store` because a look-up must never block the reactor and never wait without an
end. Its bounds: so many threads, so many look-ups waiting for them, so long a wait, so long a
statement. Beyond each the answer is `CatalogUnavailable`. Nothing is remembered, so every look-up
sees the newest pointers; it works again as soon as the database does.

Refuses to create or to upgrade anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread
from typing import Any, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from streamer.catalog import listing, reading, schema, walking
from streamer.catalog.database import Database
from streamer.catalog.held import HeldDownload
from streamer.catalog.records import Promise
from streamer.errors import CatalogUnavailable, PathNotPublished
from streamer.interfaces import Download
from streamer.model import Folder, PassThrough, PublishedArtifact

THREADS = 4
"""SQLite answers in tens of microseconds and PostgreSQL in hundreds: more threads add waiting."""

MOST_WAITING = 4096
"""As many as clients may be connected by default, each with one look-up under way. How long they
wait is bounded below: a crowd that misses makes others wait, and does not turn them away."""

LONGEST_WAIT_SECONDS = 5.0
LONGEST_ANSWER_SECONDS = 8.0
"""The database has time limits of its own; a server that hangs does not keep them."""

STATEMENT_SECONDS = 5.0

T = TypeVar("T")


class _Reactor(IReactorFromThreads, IReactorTime):
    """What is asked of the reactor: threads that report back, and time."""


class _DaemonThread(Thread):
    """A thread that does not keep the process from ending."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, daemon=True, **kwargs)


class ThreadedCatalog:
    """Answers look-ups between `start` and `stop`; may be built while the database is away.

    A cancelled look-up, and one that takes too long, is over at once for whoever awaited it; one
    that waits is never begun, and the answer of one that runs is dropped.
    """

    def __init__(
        self,
        url: str,
        reactor: _Reactor,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._database = Database(url, connections=THREADS, time_limit_seconds=STATEMENT_SECONDS)
        self._reactor = reactor
        self._now = now
        self._monotonic = monotonic
        self._most_waiting = most_waiting
        self._unanswered = 0
        self._is_running = False
        self._pool = ThreadPool(0, THREADS, "catalog")
        # So that a thread which a hung server holds does not keep the process.
        self._pool.threadFactory = _DaemonThread

    def start(self) -> None:
        """Begin to answer."""
        self._pool.start()
        self._is_running = True

    def stop(self) -> None:
        """Refuse what waits and disconnect; a thread that a hung server holds ends by itself."""
        self._is_running = False
        if self._unanswered == 0:
            self._pool.stop()
            self._database.close()

    async def resolve(self, path: str) -> PublishedArtifact | PassThrough:
        """Find what a path promises."""
        now = self._now()
        return await self._read(lambda connection: reading.resolve(connection, path, now))

    async def list_folder(self, path: str, after: str, limit: int) -> Folder:
        """List one page of a folder."""
        return await self._read(
            lambda connection: listing.list_folder(connection, path, after, limit)
        )

    async def promises(self, base_path: str, after: str, limit: int) -> list[Promise]:
        """List one page of all that a distribution shows; see `walking.promises`."""
        return await self._read(
            lambda connection: walking.promises(connection, base_path, after, limit)
        )

    async def open_held(self, artifact: PublishedArtifact) -> Download:
        """Open content that the catalog holds itself."""
        if not await self._read(
            lambda connection: reading.is_published(connection, artifact.publication)
        ):
            raise PathNotPublished
        size = cast("int", artifact.artifact.size)
        digest = str(artifact.artifact.digest)

        def read_slice(offset: int) -> Deferred[bytes]:
            return Deferred.fromCoroutine(
                self._read(
                    lambda connection: reading.held_slice(
                        connection, artifact.publication, digest, offset
                    )
                )
            )

        return HeldDownload(size, read_slice)

    async def check(self) -> None:
        """Return if the catalog answers and has the tables of this version."""
        await self._in_thread(lambda: schema.check_schema(self._database))

    async def _read(self, query: Callable[[Connection], T]) -> T:
        def read() -> T:
            try:
                return self._query(query)
            except CatalogUnavailable as error:
                if not _was_disconnected(error):
                    raise
            # The server was restarted: SQLAlchemy has dropped all connections, the next is new.
            return self._query(query)

        return await self._in_thread(read)

    def _query(self, query: Callable[[Connection], T]) -> T:
        with self._database.reading() as connection:
            return query(connection)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run `work` in the pool; refuses at once where too many wait already."""
        if not self._is_running:
            raise CatalogUnavailable("it is not open")
        if self._unanswered >= self._most_waiting + THREADS:
            raise CatalogUnavailable("too many look-ups wait for it")
        self._unanswered += 1
        answer: Deferred[T] = Deferred()
        latest = self._monotonic() + LONGEST_WAIT_SECONDS

        def begin() -> T:
            if answer.called or not self._is_running or self._monotonic() > latest:
                raise CatalogUnavailable("the look-up waited too long for it")
            return work()

        def settle(result: T | Failure) -> None:
            self._unanswered -= 1
            if not answer.called:
                answer.callback(result)

        deferToThreadPool(self._reactor, self._pool, begin).addBoth(settle)
        try:
            return await answer.addTimeout(LONGEST_ANSWER_SECONDS, self._reactor)
        except TookTooLong:
            raise CatalogUnavailable("it does not answer in time") from None


def _was_disconnected(error: CatalogUnavailable) -> bool:
    cause = error.__cause__
    return isinstance(cause, DBAPIError) and cause.connection_invalidated
