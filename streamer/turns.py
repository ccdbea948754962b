"""Candidates, and the turn that one of them has: how it is asked, and what ends that.

Separate from `supply`, which decides whose turn it is and what follows from it. Here is the
boundary to the code of importers. Whatever that raises, and whatever it makes of being cancelled,
comes out as what `interfaces` allows; what it opens too late does not stay open.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from streamer.errors import NOT_OURS, OriginCrowded, OriginError, OriginNonsense, OriginTimedOut
from streamer.health import Inquiry, OriginKey, Place
from streamer.interfaces import Catalog, Download, Downloader
from streamer.model import DownloadConfig, OriginResponse, PublishedArtifact, RemoteArtifact
from streamer.pieces.claims import Claim
from streamer.ranges import ByteRange
from streamer.transfers import Source

HELD = "catalog"
"""Stands for an importer's name where the content comes out of the catalog."""

_log = Logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HeldDownloader:
    """The catalog as an origin: it gives what it holds, and always all of it."""

    catalog: Catalog
    published: PublishedArtifact
    origin: str = HELD
    retries: int = 0

    async def open(self, span: ByteRange | None = None) -> Download:
        """See `interfaces.Downloader`."""
        return await self.catalog.open_held(self.published)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One origin that may serve: its importer's name, and how it is asked.

    `importer` is None for the catalog, of which no health is kept; `remote` where it is not asked
    for what an entry promises. `content` tells what it is asked for from what else it has.
    `origin`, `retries` and `claim` are the downloader's, which is not asked twice.
    """

    name: str
    downloader: Downloader
    importer: DownloadConfig | None = None
    remote: RemoteArtifact | None = None
    content: str = field(default="", repr=False)
    origin: str = HELD
    retries: int = 0
    claim: Claim | None = field(default=None, repr=False)

    @property
    def source(self) -> Source:
        """What the transfer log calls it."""
        return "catalog" if self.importer is None else "origin"

    @property
    def key(self) -> OriginKey | None:
        """What its health is kept under."""
        if self.importer is None:
            return None
        importer = self.importer
        return OriginKey(importer.name, importer.id, importer.revision, self.origin)

    @property
    def place(self) -> Place | None:
        """Where it would find what an entry promises."""
        key = self.key
        return None if key is None or self.remote is None else (key, self.remote.url)


@dataclass(slots=True, eq=False)
class Turn:
    """One candidate's turn: how long it may take, and what has become of it so far."""

    place: int
    candidate: Candidate
    seconds: float
    clock: IReactorTime
    alone_seconds: float
    began_at: float = field(init=False)
    was_asked: bool = False
    inquiry: Inquiry | None = None
    has_answered: bool = False
    has_failed: bool = False
    was_crowded: bool = False
    """Whether it was ended while it waited for what its importer had no more of."""
    ended_by: OriginTimedOut | CancelledError | None = None
    """Set where it was ended from outside: its time is over, or nobody needs it any more."""

    def __post_init__(self) -> None:
        self.began_at = self.clock.seconds()

    @property
    def was_beside_others(self) -> bool:
        """Whether it has taken so long that the next one was asked."""
        return self.clock.seconds() - self.began_at >= self.alone_seconds

    async def within(
        self, work: Coroutine[Any, Any, T], is_due: Callable[[], bool] = lambda: True
    ) -> T:
        """Await `work`, which is cancelled if it `is_due` when the turn's time is over.

        Raises what `work` raises, and `OriginTimedOut` or `CancelledError` where the turn was ended
        so; work that does not end with it is not waited for.
        """
        running = Deferred.fromCoroutine(work)
        outcome: Deferred[T] = Deferred(lambda _: self._end(CancelledError(), running, outcome))
        running.addCallbacks(
            lambda result: None if outcome.called else outcome.callback(result),
            lambda failure: None if outcome.called else outcome.errback(failure),
        )
        alarm = self.clock.callLater(
            self.seconds,
            lambda: self._end(OriginTimedOut(), running, outcome) if is_due() else None,
        )
        try:
            return await outcome
        except CancelledError as cancelled:
            raise self.ended_by or cancelled from None
        finally:
            if alarm.active():
                alarm.cancel()

    def _end(
        self,
        reason: OriginTimedOut | CancelledError,
        running: Deferred[T],
        outcome: Deferred[T],
    ) -> None:
        self.ended_by = reason
        running.cancel()
        if not outcome.called:
            outcome.errback(reason)

    async def open(self, span: ByteRange | None) -> Download:
        """See `interfaces.Downloader`; raises nothing but an `OriginError` or `CancelledError`.

        But for what the catalog raises where it is the candidate.
        """
        try:
            download = await self.candidate.downloader.open(span)
            _refuse_other_than_downloads(download)
        except NOT_OURS:
            raise
        except BaseException as error:
            self._raise_end(error)
            if isinstance(error, OriginError) or self.candidate.importer is None:
                raise
            _log.failure("an importer failed in a way that is a defect")
            raise OriginNonsense("its importer failed") from error
        if self.ended_by is not None:
            download.stop()
            raise self.ended_by
        return download

    def _raise_end(self, error: BaseException) -> None:
        """Raise what ended the turn, whatever came of that.

        Cancelling the look-up of a name comes back as if the name did not exist. Only who waited
        for a connection until the time was over has learned nothing of the origin.
        """
        is_late = isinstance(self.ended_by, OriginTimedOut)
        self.was_crowded = isinstance(error, OriginCrowded)
        if self.ended_by is not None and not (is_late and isinstance(error, OriginCrowded)):
            raise self.ended_by from error


def _refuse_other_than_downloads(download: object) -> None:
    """Let what an importer gives back that is none, as by a forgotten `return`, be its defect."""
    if not isinstance(getattr(download, "response", None), OriginResponse):
        raise TypeError(f"{type(download).__name__} is no download")
