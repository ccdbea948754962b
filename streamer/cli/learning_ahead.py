"""`fetch --learn`, beneath the command: content is fetched for its table, and none of it is kept.

Strategy. Everything is looked at a page at a time: what cannot be learned, or is known, is left
out, and of the rest a few at a time are fetched as a client's would be, verified by its digest and
dropped as it comes. Its table is stored before the next one begins, so nothing that was learned is
lost when this is interrupted, and whoever runs it again goes on with what is missing. A path is
resolved just before it is fetched: what was published anew meanwhile is learned as it is now.

It is polite. An origin that wants to be left alone for a while is; where many fail in a row, with
something else than that they lack the content, it gives up. And it learns no more than the store
can hold, since it would push out what it learned first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import deferLater

from streamer.catalog import Promise, ThreadedCatalog
from streamer.cli.knowing import why_unlearnable
from streamer.cli.progress import ShowLearning
from streamer.cli.running import Ending, in_reactor, started_catalog, supplies_of
from streamer.cli.shelf import Shelf
from streamer.errors import (
    ImporterBroken,
    NoOriginServed,
    OperationRefused,
    Outcome,
    PathNotPublished,
)
from streamer.learned import PieceStore, store_of
from streamer.learned.rows import ROW_BYTES
from streamer.model import Artifact, PublishedArtifact
from streamer.pieces.table import DIGEST_BYTES, Table, leaf_count
from streamer.saving import Saving
from streamer.settings import Settings
from streamer.supplies import Supplies
from streamer.supply import Supply
from streamer.transfers import Notes
from streamer.verification import Verification

PAGE = 500
"""Entries that are looked at together; the store is asked for all of them at once."""

TRIES = 3
"""Of an artifact whose origins all want to be left alone for a while."""

LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 1.0, 60.0

GIVE_UP_AFTER = 20
"""Artifacts that fail, one after the other, though their origins do not say that they lack them."""

MOST_TOLD = 20
"""Failures whose reasons are kept."""

GONE = "not published any more"
AGAIN = "of the same content as another path"
NO_ROOM = "beyond pieces.max_size"


@dataclass(slots=True)
class Tally:
    """What has become of the artifacts so far. `failures` are the first ones, by their paths."""

    learned: int = 0
    learned_bytes: int = 0
    known: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    received_bytes: int = 0

    @property
    def looked_at(self) -> int:
        """All of them."""
        return self.learned + self.known + self.skipped.total() + self.failed


def learn_ahead(
    paths: Sequence[str],
    base_paths: Sequence[str],
    settings: Settings,
    tally: Tally,
    show: ShowLearning,
    *,
    jobs: int,
) -> None:
    """Learn what lies at these paths, and all that lies below these base paths, into the store.

    Raises `OperationRefused` where that makes no sense any more, or `CatalogError`; `tally` is
    right whatever happens. Runs the reactor, so it can be called once.
    """
    store = store_of(settings)
    if store is None:
        raise OperationRefused("pieces.enabled is false, so nothing would be learned")

    async def learn(reactor: Any) -> None:
        catalog = started_catalog(reactor, settings)
        supplies = supplies_of(catalog, reactor, settings)
        course = Course(supplies, store, settings, tally, show)
        await course.run(pages(catalog, paths, base_paths), jobs)

    try:
        in_reactor(learn, Ending())
    finally:
        store.close()


async def pages(
    catalog: ThreadedCatalog, paths: Sequence[str], base_paths: Sequence[str]
) -> AsyncIterator[list[Promise]]:
    """Everything that is meant, in pages; each entry with its full path."""
    for start in range(0, len(paths), PAGE):
        found = [await _at(catalog, path) for path in paths[start : start + PAGE]]
        yield [each for each in found if each is not None]
    for base_path in base_paths:
        after = ""
        while page := await catalog.promises(base_path, after, PAGE):
            yield [replace(each, path=f"{base_path}/{each.path}") for each in page]
            after = page[-1].path


async def _at(catalog: ThreadedCatalog, path: str) -> Promise | None:
    """None where it has gone since somebody looked."""
    with suppress(PathNotPublished):
        found = await catalog.resolve(path)
        if isinstance(found, PublishedArtifact):
            return Promise(path, found.artifact, found.held)
    return None


class Course:
    """One run through many artifacts, which it counts in `tally` and shows to `show`."""

    def __init__(
        self,
        supplies: Supplies,
        store: PieceStore,
        settings: Settings,
        tally: Tally,
        show: ShowLearning,
    ) -> None:
        self._supplies = supplies
        self._shelf = Shelf(store, supplies.clock)
        self._settings = settings
        self._tally = tally
        self._show = show
        self._room_bytes = settings.pieces.max_bytes
        self._in_a_row = 0

    async def run(self, found: AsyncIterator[Sequence[Promise]], jobs: int) -> None:
        """Learn all of them, some at a time."""
        await self._shelf.prepare()
        async for page in found:
            ahead = iter(await self._unknown(page))
            await _all_of(self._work(ahead) for _ in range(jobs))

    # -- what is to be learned

    async def _unknown(self, page: Sequence[Promise]) -> list[str]:
        """The paths of those that can be learned, are not known, and have room in the store."""
        learnable = self._learnable(page)
        known = await self._shelf.known(each.artifact for each in learnable)
        wanted = []
        for each in learnable:
            has_room = self._takes_room(each.artifact)
            if str(each.artifact.digest) in known:
                self._tally.known += 1
            elif has_room:
                wanted.append(each.path)
            else:
                self._skip(NO_ROOM)
        self._tell()
        return wanted

    def _learnable(self, page: Sequence[Promise]) -> list[Promise]:
        by_digest: dict[str, Promise] = {}
        for each in page:
            small_bytes = self._settings.delivery.small_bytes
            if reason := why_unlearnable(each.artifact, small_bytes, held=each.held):
                self._skip(reason.value)
            elif by_digest.setdefault(str(each.artifact.digest), each) is not each:
                self._skip(AGAIN)
        return list(by_digest.values())

    def _takes_room(self, artifact: Artifact) -> bool:
        """Whether its table, known or not, has room beside all those before it.

        Content that is met again on another page counts again, which is no harm.
        """
        room_bytes = ROW_BYTES + DIGEST_BYTES * leaf_count(artifact.size or 0)
        has_room = room_bytes <= self._room_bytes
        self._room_bytes -= room_bytes if has_room else 0
        return has_room

    # -- one artifact

    async def _work(self, ahead: Iterable[str]) -> None:
        for path in ahead:
            try:
                await self._learn(path)
            except (NoOriginServed, ImporterBroken) as failure:
                self._note(path, failure)
            self._tell()

    async def _learn(self, path: str) -> None:
        try:
            found = await self._supplies.catalog.resolve(path)
        except PathNotPublished:
            self._skip(GONE)
            return
        small_bytes = self._settings.delivery.small_bytes
        if not isinstance(found, PublishedArtifact):
            self._skip(GONE)
        elif reason := why_unlearnable(found.artifact, small_bytes, held=found.held):
            self._skip(reason.value)
        else:
            await self._shelf.keep(found.artifact, await self._table(found))
            self._in_a_row = 0
            self._tally.learned += 1
            self._tally.learned_bytes += found.artifact.size or 0

    async def _table(self, published: PublishedArtifact) -> Table:
        """Fetch it, and again after a while where that is what its origins ask for."""
        for _ in range(TRIES - 1):
            try:
                return await self._fetched(published)
            except NoOriginServed as failure:
                pause_seconds = _pause_seconds(failure)
                if pause_seconds is None:
                    raise
                await deferLater(self._supplies.clock, pause_seconds)
        return await self._fetched(published)

    async def _fetched(self, published: PublishedArtifact) -> Table:
        caught, notes = _Caught(), Notes()
        saving = Saving(
            published.artifact,
            _Nowhere(self._count),
            lambda: Supply.of(self._supplies, published, notes),
            clock=self._supplies.clock,
            idle_seconds=self._settings.delivery.idle_seconds,
            verification=Verification(caught, small_bytes=self._settings.delivery.small_bytes),
        )
        await saving.run()
        assert caught.table_of_all is not None  # noqa: S101 - all of it has matched
        return caught.table_of_all

    # -- counting

    def _count(self, byte_count: int) -> None:
        self._tally.received_bytes += byte_count
        self._tell()

    def _skip(self, reason: str) -> None:
        self._tally.skipped[reason] += 1

    def _note(self, path: str, failure: NoOriginServed | ImporterBroken) -> None:
        """Count a failure; raises `OperationRefused` where it is one of too many."""
        self._tally.failed += 1
        if len(self._tally.failures) < MOST_TOLD:
            self._tally.failures.append((path, str(failure)))
        if isinstance(failure, NoOriginServed) and _is_lacked(failure):
            return
        self._in_a_row += 1
        if self._in_a_row == GIVE_UP_AFTER:
            raise OperationRefused(f"{GIVE_UP_AFTER} failed in a row, the last one with: {failure}")

    def _tell(self) -> None:
        self._show(self._tally.looked_at, self._tally.received_bytes)


class _Nowhere:
    """A target that keeps nothing."""

    def __init__(self, on_bytes: Callable[[int], None]) -> None:
        self._on_bytes = on_bytes

    def kept(self) -> Iterable[bytes]:
        return ()

    def write(self, content: bytes) -> None:
        self._on_bytes(len(content))

    def start_over(self) -> bool:
        return True

    async def finish(self) -> None:
        """Nothing is left to do."""


class _Caught:
    """Implements `interfaces.Learned` for one artifact: what is learned goes to who has asked."""

    def __init__(self) -> None:
        self.table_of_all: Table | None = None

    async def table(self, artifact: Artifact) -> Table | None:
        """None, so that the digest decides."""
        return None

    def learn(self, artifact: Artifact, table: Table) -> None:
        self.table_of_all = table


def _pause_seconds(failure: NoOriginServed) -> float | None:
    """How long somebody asks to be left alone, where all that failed may be over then."""
    asked = [error.retry_after_seconds for _, error in failure.failures]
    pauses = [seconds for seconds in asked if seconds is not None]
    return max(LEAST_PAUSE_SECONDS, min(MOST_PAUSE_SECONDS, *pauses)) if pauses else None


def _is_lacked(failure: NoOriginServed) -> bool:
    return all(error.outcome is Outcome.MISSING for _, error in failure.failures)


async def _all_of(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run them beside each other; where one fails, or this is cancelled, all are."""
    running = [Deferred.fromCoroutine(each) for each in works]
    try:
        await gatherResults(running, consumeErrors=True)
    except FirstError as first:
        first.subFailure.raiseException()
    finally:
        for each in running:
            each.cancel()
