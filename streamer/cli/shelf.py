"""The store of pieces as somebody uses it who waits for it, and wants to hear if it fails.

A transfer never waits for the store (`streamer.learned`); who learns ahead does nothing else. So
what is to be kept is written at once and tried again for a while, and then refused: to fetch what
nobody can keep is a waste of the origin's time. Separate from `learning_ahead`, which fetches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import DeferredLock
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from streamer.cli.knowing import known_tables
from streamer.errors import OperationRefused
from streamer.learned import PieceStore
from streamer.learned.changes import Change, Mark
from streamer.learned.failures import StoreUnavailable
from streamer.model import Artifact
from streamer.pieces.table import Table

PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""Another process may be writing a large batch, or a server may be starting anew."""

DAY_SECONDS = 86400

T = TypeVar("T")


class Shelf:
    """Reads and writes in a thread, one step at a time.

    Every method raises `OperationRefused` where the store does not work, with its reason. To be
    cancelled leaves a write that has begun to its end.
    """

    def __init__(self, store: PieceStore, reactor: Any) -> None:
        self._store = store
        self._reactor = reactor
        self._turn = DeferredLock()

    async def prepare(self) -> None:
        """Make sure that there is a store, and that it can be written; tries it once."""
        await self._tried(lambda: self._store.write({}, _today()), pauses_seconds=())

    async def known(self, artifacts: Iterable[Artifact]) -> set[str]:
        """Which of these have a table, by their digests; from today on these are the last to go."""
        wanted = list(artifacts)
        found = await self._tried(lambda: known_tables(self._store, wanted))
        used: dict[str, Change] = {
            digest: Mark.USED for digest, day in found.items() if day != _today()
        }
        if used:
            await self._write(used)
        return set(found)

    async def keep(self, artifact: Artifact, table: Table) -> None:
        """Returns when it is stored."""
        await self._write({str(artifact.digest): table})

    async def _write(self, changes: dict[str, Change]) -> None:
        await self._tried(lambda: self._store.write(changes, _today()))

    async def _tried(
        self, work: Callable[[], T], pauses_seconds: Iterable[float] = PAUSES_SECONDS
    ) -> T:
        for pause_seconds in pauses_seconds:
            try:
                return await self._once(work)
            except StoreUnavailable:
                await deferLater(self._reactor, pause_seconds)
        try:
            return await self._once(work)
        except StoreUnavailable as error:
            message = f"the store of pieces does not work: {self._store}: {error}"
            raise OperationRefused(message) from error

    async def _once(self, work: Callable[[], T]) -> T:
        await self._turn.acquire()
        try:
            return await deferToThread(work)
        finally:
            self._turn.release()


def _today() -> int:
    return int(time.time() // DAY_SECONDS)
