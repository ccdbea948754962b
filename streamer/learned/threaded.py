"""What was learned here, as the service uses it: the port `interfaces.Learned` over a store.

Separate from `lookups` and `writing` because this is what is known without asking: what waits to
be written, and what is asked for often, which is kept in memory. No exchange waits longer than a
look-up may take (`lookups.ANSWER_SECONDS`), whatever the store does, and none ever fails for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from streamer.learned.changes import Mark
from streamer.learned.failures import StoreUnavailable
from streamer.learned.lookups import LookUpLate, LookUps, LookUpSkipped
from streamer.learned.rows import cost
from streamer.learned.store import PieceStore, Stored
from streamer.learned.threads import ReactorOfThreads
from streamer.learned.trouble import Trouble
from streamer.learned.writing import Writing
from streamer.metrics import Metrics
from streamer.model import Artifact
from streamer.pieces.table import Table

MEMORY_BYTES = 16 * 1024**2
"""Of tables that need no look-up; a larger one is not kept."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A table in memory, and the day on which the store was told that it is used."""

    table: Table
    used: int


class ThreadedLearned:
    """Knows tables between `start` and `stop`; may be built while the store is away.

    A table that was learned is known at once, also while it cannot be written.
    """

    def __init__(
        self,
        store: PieceStore,
        metrics: Metrics,
        reactor: ReactorOfThreads,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._trouble = Trouble(store, reactor.seconds)
        self._look_ups = LookUps(store, reactor, self._trouble)
        self._writing = Writing(store, reactor, self._trouble, metrics, now)
        self._memory: LRUCache[str, _Known] = LRUCache(
            MEMORY_BYTES, getsizeof=lambda known: cost(known.table)
        )
        metrics.pieces_usable(lambda: self._trouble.is_over)

    def start(self) -> None:
        """Begin to ask and to write."""
        self._look_ups.start()
        self._writing.start()

    async def stop(self) -> None:
        """Write what waits, for a moment; threads that a hung store holds end by themselves."""
        is_written = await self._writing.stop()
        if self._look_ups.stop() and is_written:
            self._store.close()
        self._trouble.stop()

    async def table(self, artifact: Artifact) -> Table | None:
        """The table of this artifact's content; None where none is known."""
        digest, size = str(artifact.digest), artifact.size
        if size is None:
            return None
        table = self._at_hand(digest)
        if table is not None:
            outcome = "memory"
        else:
            outcome, table = await self._looked_up(digest, size)
        self._metrics.pieces_looked_up(outcome)
        return table if table is not None and table.size == size else None

    def learn(self, artifact: Artifact, table: Table) -> None:
        """Keep the table of content that all matched the artifact's digest."""
        digest = str(artifact.digest)
        if not artifact.digest.is_strong or artifact.size != table.size:
            return
        if self._at_hand(digest) == table:
            return
        self._remember(digest, _Known(table, self._writing.today))
        if not self._writing.add(digest, table):
            self._metrics.pieces_dropped()

    def _at_hand(self, digest: str) -> Table | None:
        """What is known without asking."""
        known = self._memory.get(digest)
        if known is None:
            waiting = self._writing.find(digest)
            return waiting if isinstance(waiting, Table) else None
        if known.used != self._writing.today:
            self._use(digest, known.table)
        return known.table

    async def _looked_up(self, digest: str, size: int) -> tuple[str, Table | None]:
        """What the store says, and how that is counted."""
        if self._writing.find(digest) is Mark.FORGOTTEN:
            return "miss", None
        try:
            stored = await self._look_ups.find(digest, size)
        except LookUpSkipped:
            return "skipped", None
        except LookUpLate:
            return "late", None
        except StoreUnavailable:
            return "error", None
        learned = self._at_hand(digest)
        if learned is not None:
            return "memory", learned
        return ("miss", None) if stored is None else self._taken_in(digest, stored)

    def _taken_in(self, digest: str, stored: Stored) -> tuple[str, Table | None]:
        if stored.table is None:
            self._writing.add(digest, Mark.FORGOTTEN)
            return "damaged", None
        if stored.used != self._writing.today:
            self._use(digest, stored.table)
        else:
            self._remember(digest, _Known(stored.table, stored.used))
        return "hit", stored.table

    def _use(self, digest: str, table: Table) -> None:
        """Tell the store, once on each day, that a table is of use."""
        self._writing.add(digest, Mark.USED)
        self._remember(digest, _Known(table, self._writing.today))

    def _remember(self, digest: str, known: _Known) -> None:
        if cost(known.table) <= MEMORY_BYTES:
            self._memory[digest] = known
