"""Where the content of one exchange comes from: origin after origin, as the plan says.

Strategy. A supply knows the candidates of one published artifact and gives one of them a turn at a
time. What that comes to is told to the plan, which decides on the next turn, and to the health that
all exchanges share. Before the head every turn begins at the first byte. After it, a turn goes on
at the byte where the content broke off, and only at an origin that shows that it does so: 206 with
that very range and the same total, or all of it again, of which the beginning is left out as long
as that is not much (invariant 2).

Separate from `delivery`, because a client is not needed: a file is filled in the same way. It sees
ports, never an importer's kind; whatever a plug-in does wrong is an origin's failure here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from streamer.errors import (
    BeginningMismatch,
    ContentMismatch,
    ImporterBroken,
    NoOriginServed,
    OriginAvoided,
    OriginCrowded,
    OriginError,
    OriginLacksIt,
    OriginNonsense,
    OriginRefused,
    OriginTimedOut,
    SizeMismatch,
    StreamerError,
)
from streamer.health import Health, OriginKey
from streamer.interfaces import Catalog, Download, Downloader, Importer, Importers
from streamer.metrics import Metrics
from streamer.model import (
    Artifact,
    DownloadConfig,
    OriginResponse,
    PublishedArtifact,
    RemoteArtifact,
)
from streamer.plan import Plan, Prospect
from streamer.ranges import ByteRange
from streamer.settings import DeliverySettings
from streamer.spans import Remainder
from streamer.transfers import Notes, Source

HELD = "catalog"
"""Stands for an importer's name where the content comes out of the catalog."""

FAR_BYTES = 64 * 1024
"""What one attempt has to bring to be no matter of patience: about one read of a socket. An origin
that sends a byte at a time is given up by the number of attempts."""

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
    for what an entry promises.
    """

    name: str
    downloader: Downloader
    importer: DownloadConfig | None = None
    remote: RemoteArtifact | None = None

    @property
    def source(self) -> Source:
        """What the transfer log calls it."""
        return "catalog" if self.importer is None else "origin"

    @property
    def key(self) -> OriginKey | None:
        """What its health is kept under."""
        if self.importer is None:
            return None
        return self.importer.id, self.importer.revision, self.downloader.origin


@dataclass(slots=True)
class Turn:
    """One candidate's turn: how long it may take, and what has become of it so far."""

    place: int
    candidate: Candidate
    seconds: float
    was_asked: bool = False
    has_answered: bool = False
    is_late: bool = False
    is_cancelled: bool = False


class Supplies:
    """Makes the supplies of all exchanges, and holds what they share."""

    def __init__(
        self,
        catalog: Catalog,
        importers: Importers,
        health: Health,
        metrics: Metrics,
        settings: DeliverySettings,
        clock: IReactorTime,
        jitter: Callable[[], float],
    ) -> None:
        self.catalog = catalog
        self.importers = importers
        self.health = health
        self.metrics = metrics
        self.settings = settings
        self.clock = clock
        self.jitter = jitter

    def supply(self, published: PublishedArtifact, notes: Notes) -> Supply:
        """The supply for one exchange, which notes there whom it asks."""
        if published.held:
            held = Candidate(HELD, HeldDownloader(self.catalog, published))
            return Supply(self, [held], notes, published.artifact)
        found, broken = [], None
        for source in published.sources:
            try:
                downloader = self.built(source.importer, methodcaller("downloader", source))
            except ImporterBroken as error:
                broken = error
            else:
                name = source.importer.name
                found.append(Candidate(name, downloader, source.importer, source))
        return Supply(self, found, notes, published.artifact, broken)

    def built(self, config: DownloadConfig, build: Callable[[Importer], T]) -> T:
        """What an importer makes for one exchange; raises `ImporterBroken`, whatever it does."""
        importer = self.importers.importer(config)
        try:
            return build(importer)
        except ImporterBroken:
            raise
        except Exception as error:
            _log.failure("an importer failed in a way that is a defect")
            raise ImporterBroken(config.name, type(error).__name__) from error


class Supply:
    """The candidates of one exchange and what has become of them.

    Rule: at any moment at most one of them has a turn. Without an `artifact` the first that serves
    says how much content there is; `broken` is why none could be found, if so.
    """

    def __init__(
        self,
        shared: Supplies,
        candidates: Sequence[Candidate],
        notes: Notes,
        artifact: Artifact | None = None,
        broken: ImporterBroken | None = None,
    ) -> None:
        self._shared = shared
        self._artifact = artifact
        self._notes = notes
        self._broken = broken
        self._candidates = candidates
        self._plan = Plan(
            [self._prospect(each) for each in self._candidates],
            now=shared.clock.seconds(),
            budget_seconds=shared.settings.first_byte_seconds,
            jitter=shared.jitter,
        )
        self._turn: Turn | None = None
        self._served: list[Candidate] = []
        self._total = None if artifact is None else artifact.size
        self._resumed_at = 0
        self.failures: list[tuple[str, OriginError]] = []
        """The importer's name and the error of every attempt that failed, in order."""

    def _prospect(self, candidate: Candidate) -> Prospect:
        key, remote, health = candidate.key, candidate.remote, self._shared.health
        if key is None:
            return Prospect(priority=0)
        return Prospect(
            priority=0 if remote is None else remote.priority,
            retries=candidate.downloader.retries,
            failures=health.failures(key),
            is_last_resort=(
                self._artifact is not None and health.is_quarantined(self._artifact, key)
            ),
        )

    # -- turns

    async def next_turn(self) -> Turn | None:
        """Wait until the next candidate may be asked; None where there is nobody left to ask."""
        step = self._plan.next(self._shared.clock.seconds())
        if step is None:
            return None
        if step.wait_seconds > 0:
            await deferLater(self._shared.clock, step.wait_seconds)
        self._turn = Turn(step.candidate, self._candidates[step.candidate], step.seconds)
        return self._turn

    async def within(
        self, turn: Turn, work: Coroutine[Any, Any, T], is_due: Callable[[], bool] = lambda: True
    ) -> T:
        """Await `work`, which is cancelled if it `is_due` when the turn's time is over.

        Raises what `work` raises, `OriginTimedOut` where it was cancelled so, and `CancelledError`
        where this was, whatever `work` makes of it: cancelling the look-up of a name comes back as
        if the name did not exist.
        """
        running = Deferred.fromCoroutine(work)

        def cancel(_: object) -> None:
            turn.is_cancelled = True
            running.cancel()

        def give_up() -> None:
            if is_due():
                turn.is_late = True
                running.cancel()

        outcome: Deferred[T] = Deferred(cancel)
        running.addCallbacks(outcome.callback, outcome.errback)
        alarm = self._shared.clock.callLater(turn.seconds, give_up)
        try:
            return await outcome
        except (CancelledError, OriginError) as error:
            if turn.is_cancelled:
                raise CancelledError from error
            if turn.is_late and not isinstance(error, OriginCrowded):
                raise OriginTimedOut from None
            raise
        finally:
            if alarm.active():
                alarm.cancel()

    async def open(self, turn: Turn, span: ByteRange | None = None) -> Download:
        """Ask whose turn it is for all of the content, or for `span`; see `Downloader.open`.

        Raises an `OriginError`; `SizeMismatch` where it has other content, by what it announces.
        """
        self._ask(turn)
        try:
            download = await self._opened(turn.candidate, span)
        except OriginError as error:
            is_ours = turn.is_late and not isinstance(error, OriginCrowded)
            self._judge(turn, OriginTimedOut() if is_ours else error)
            raise
        except CancelledError:
            self._judge(turn, OriginTimedOut() if turn.is_late else None)
            raise
        try:
            _refuse_wrong_length(self._total, download.response)
        except SizeMismatch as error:
            download.stop()
            self._judge(turn, error)
            raise
        self._judge_well(turn)
        if self._total is None and download.response.part_of is None:
            self._total = download.response.length
        return download

    async def _opened(self, candidate: Candidate, span: ByteRange | None) -> Download:
        try:
            return await candidate.downloader.open(span)
        except (CancelledError, StreamerError):
            raise
        except Exception as error:
            _log.failure("an importer failed in a way that is a defect")
            raise OriginNonsense("its importer failed") from error

    def _ask(self, turn: Turn) -> None:
        """Raise where it is known already that asking is in vain."""
        candidate, health = turn.candidate, self._shared.health
        self._notes.origin, self._notes.source = candidate.name, candidate.source
        if candidate.remote is not None and health.is_missing(candidate.remote):
            raise OriginLacksIt(404)
        if candidate.key is not None:
            health.ask(candidate.key)
        turn.was_asked = True
        self._notes.attempts += 1

    def _judge(self, turn: Turn, error: OriginError | None) -> None:
        """Tell the origin's health how the asking ended; None, or our own leaving, says nothing."""
        key = turn.candidate.key
        if key is None:
            return
        if error is None or turn.is_cancelled:
            self._shared.health.let_go(key)
        else:
            self._shared.health.failed(key, error)

    def _judge_well(self, turn: Turn) -> None:
        turn.has_answered = True
        if turn.candidate.key is not None:
            self._shared.health.answered(turn.candidate.key)
        self._served.append(turn.candidate)

    # -- failures

    def failed(self, error: OriginError) -> None:
        """The attempt of whose turn it is has failed; told twice, it counts once."""
        turn = self._turn
        if turn is None or any(known is error for _, known in self.failures):
            return
        name, metrics = turn.candidate.name, self._shared.metrics
        self.failures.append((name, error))
        self._plan.failed(turn.place, error, self._shared.clock.seconds())
        if isinstance(error, OriginAvoided):
            metrics.origin_avoided(name)
        elif turn.was_asked:
            metrics.origin_failed(name, type(error).__name__)
            self._remember(turn.candidate, error, has_answered=turn.has_answered)

    def _remember(self, candidate: Candidate, error: OriginError, *, has_answered: bool) -> None:
        """Let later exchanges know what says something of this origin, or of this content there."""
        health = self._shared.health
        if has_answered and candidate.key is not None and error.counts_against:
            health.failed(candidate.key, error)
        if isinstance(error, OriginLacksIt) and candidate.remote is not None:
            health.note_missing(candidate.remote)
        if self._artifact is None:
            return
        if isinstance(error, ContentMismatch) and not isinstance(error, BeginningMismatch):
            # Where several have sent parts of it, nobody knows whose was wrong.
            for each in {candidate, *self._served}:
                if each.key is not None:
                    health.quarantine(self._artifact, each.key)
                    self._shared.metrics.quarantined(each.name)

    def verdict(self) -> StreamerError:
        """Why nobody served: what follows from all attempts, or that none could be made."""
        if self._broken is not None and not self.failures:
            return self._broken
        return NoOriginServed(tuple(self.failures))

    # -- in mid-stream

    def count(self, received_bytes: int) -> None:
        """Content came from whose turn it is."""
        if self._turn is not None:
            self._shared.metrics.bytes_received(self._turn.candidate.name, received_bytes)

    async def resume(self, position: int, failure: OriginError) -> Download:
        """Open the content from `position` on, where `failure` broke it off; see `pipe.Resume`.

        Gives up, which raises `failure`, where the plan does, and where the length of the content
        is not known.
        """
        self.failed(failure)
        if self._turn is None or self._total is None or not 0 < position < self._total:
            raise failure
        if position > self._resumed_at:
            is_far = position - self._resumed_at >= FAR_BYTES
            self._resumed_at = position
            now, budget = self._shared.clock.seconds(), self._shared.settings.first_byte_seconds
            self._plan.resume(self._turn.place, now, budget, is_far=is_far)
        while (turn := await self.next_turn()) is not None:
            try:
                return await self.within(turn, self._open_rest(turn, position, self._total))
            except OriginError as error:
                self.failed(error)
        raise failure

    def begin_anew(self) -> None:
        """Nothing is left of what has come: whoever may still be asked gets a new budget for it."""
        if self._turn is not None:
            self._resumed_at = 0
            now, budget = self._shared.clock.seconds(), self._shared.settings.first_byte_seconds
            self._plan.resume(self._turn.place, now, budget)

    async def _open_rest(self, turn: Turn, position: int, total: int) -> Download:
        download = await self.open(turn, ByteRange(position, total - 1))
        if download.response.part_of is None:
            if position > self._shared.settings.skip_up_to_bytes:
                download.stop()
                raise OriginRefused(200)
            download = Remainder(download, position)
        self._shared.metrics.resumed(turn.candidate.name)
        return download


def _refuse_wrong_length(size: int | None, origin: OriginResponse) -> None:
    """Find a login page or another file out by its length, before anything of it is used."""
    announced = origin.length if origin.part_of is None else origin.part_of
    if size is not None and announced is not None and size != announced:
        raise SizeMismatch(size, announced)
