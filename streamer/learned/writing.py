"""What is learned on its way into the store: gathered for a moment, written by one thread.

Separate from `lookups` because nobody waits for it, so it may take its time and try again. What
waits is bounded in memory (`changes`); what is written goes in one transaction, a batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.learned.changes import Change, Changes
from streamer.learned.store import PieceStore, Written
from streamer.learned.threads import ReactorOfThreads, Threads
from streamer.learned.trouble import PAUSE_SECONDS, Trouble, unavailable
from streamer.metrics import Metrics

_log = Logger()

GATHERING_SECONDS = 1.0
"""A transaction costs as much for one table as for some dozens."""

MOST_BYTES = 32 * 1024**2
"""Of what waits: the tables of 64 GiB of content."""

STOP_SECONDS = 2.0

DAY_SECONDS = 86400


class Writing:
    """Writes between `start` and `stop`; what comes after is forgotten."""

    def __init__(
        self,
        store: PieceStore,
        reactor: ReactorOfThreads,
        trouble: Trouble,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._reactor = reactor
        self._trouble = trouble
        self._metrics = metrics
        self._now = now
        self._threads = Threads(reactor, 1, "pieces to write")
        self._changes = Changes(MOST_BYTES)
        self._timer: IDelayedCall | None = None
        self._under_way: Deferred[bool] | None = None
        self._is_running = False

    @property
    def today(self) -> int:
        """The day by which uses are remembered."""
        return int(self._now() // DAY_SECONDS)

    def start(self) -> None:
        """Begin to write; at first nothing, to make a store where there is none."""
        self._is_running = True
        self._threads.start()
        self._write()

    async def stop(self) -> bool:
        """Write what waits, unless that takes too long; False where a batch is still under way."""
        self._is_running = False
        self._cancel_timer()
        last = Deferred.fromCoroutine(self._write_the_rest())
        try:
            await last.addTimeout(STOP_SECONDS, self._reactor)
        except TookTooLong:
            _log.info("what was learned last is not written: the store does not answer in time")
        return self._threads.stop()

    def find(self, digest: str) -> Change | None:
        """What is to become of this digest, as long as the store does not say it."""
        return self._changes.find(digest)

    def add(self, digest: str, change: Change) -> bool:
        """Have a change written soon; False where too much waits."""
        if not self._is_running or not self._changes.add(digest, change):
            return False
        if self._under_way is None and self._timer is None:
            self._write_in(GATHERING_SECONDS)
        return True

    def _write_in(self, seconds: float) -> None:
        self._timer = self._reactor.callLater(seconds, self._write)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _write(self) -> Deferred[bool]:
        """Begin a batch; the Deferred says whether it was written."""
        self._timer = None
        batch, today = self._changes.take(), self.today
        writing = self._threads.run(lambda: self._store.write(batch, today))
        self._under_way = writing.addCallbacks(self._written, self._failed)
        return self._under_way

    def _written(self, written: Written) -> bool:
        self._under_way = None
        self._changes.done()
        self._trouble.worked("writing")
        self._metrics.pieces_written(
            written.written, written.dropped, written.evicted, written.bytes
        )
        if self._is_running and self._changes:
            self._write_in(GATHERING_SECONDS)
        return True

    def _failed(self, failure: Failure) -> bool:
        self._under_way = None
        self._changes.put_back()
        self._trouble.failed("writing", unavailable(failure), PAUSE_SECONDS)
        if self._is_running:
            self._write_in(PAUSE_SECONDS)
        return False

    async def _write_the_rest(self) -> None:
        works = self._under_way is None or await self._shielded(self._under_way)
        if works and self._changes:
            await self._shielded(self._write())

    @staticmethod
    def _shielded(writing: Deferred[bool]) -> Deferred[bool]:
        """Wait for a batch without cancelling it: a thread cannot be."""
        waiting: Deferred[bool] = Deferred()

        def tell(works: bool) -> bool:
            if not waiting.called:
                waiting.callback(works)
            return works

        writing.addCallback(tell)
        return waiting
