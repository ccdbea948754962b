"""Where the content of one exchange comes from: origin after origin, as the plan says.

Strategy. A supply knows the candidates of one published artifact and lets them have their turns,
one beside the other where they are slow to answer (`opening`), until one of them has content. What
a turn comes to is told to the plan, which decides on the next, and to the health that all exchanges
share. Before the head every turn begins at the first byte. After it, a turn goes on
at the byte where the content broke off, and only at an origin that shows that it does so: 206 with
that very range and the same total, or all of it again, of which the beginning is left out as long
as that is not much (invariant 2).

Separate from `delivery`, because a client is not needed: a file is filled in the same way. It sees
ports, never an importer's kind; how a candidate is asked in its turn is `turns`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from streamer.errors import (
    BeginningMismatch,
    ContentMismatch,
    ImporterBroken,
    NoOriginServed,
    OriginError,
    OriginLacksIt,
    OriginRefused,
    OriginTimedOut,
    Outcome,
    SizeMismatch,
    StreamerError,
)
from streamer.health import Health
from streamer.interfaces import Catalog, Download, Importer, Importers, MirroringImporter
from streamer.metrics import Metrics
from streamer.model import (
    Artifact,
    DownloadConfig,
    PublishedArtifact,
    RemoteArtifact,
)
from streamer.opening import Opened, Opening, OpenOne
from streamer.plan import Plan, Prospect, Step
from streamer.ranges import ByteRange
from streamer.settings import DeliverySettings
from streamer.spans import Remainder
from streamer.transfers import Notes
from streamer.turns import HELD, Candidate, HeldDownloader, Turn

BEFORE_ALL = -1
"""A position before the first byte: to go on from there is to get further too."""

FAR_BYTES = 64 * 1024
"""What one attempt has to bring to be no matter of patience: about one read of a socket. An origin
that sends a byte at a time is given up by the number of attempts."""

_log = Logger()

T = TypeVar("T")
Problem = ImporterBroken | OriginError

LIST_PART = 4
"""The part of the time for the first byte that a list of places may take."""

MAX_PLACES = 100
"""Of one source; as many as an entry may have sources."""


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

    async def supply(self, published: PublishedArtifact, notes: Notes) -> Supply:
        """The supply for one exchange, which notes there whom it asks.

        Its time begins now. It takes a while only where an importer has to fetch a list first, and
        no longer than a part of that time.
        """
        if published.held:
            held = Candidate(HELD, HeldDownloader(self.catalog, published))
            return Supply(self, [held], notes, published.artifact)
        began_at = self.clock.seconds()
        found, problems = await self.found(published.sources)
        return Supply(self, found, notes, published.artifact, problems, began_at)

    async def found(
        self, sources: Sequence[RemoteArtifact]
    ) -> tuple[list[Candidate], list[tuple[str, Problem]]]:
        """The candidates of all sources, and why some have none, by their importers' names."""
        found: list[Candidate] = []
        problems: list[tuple[str, Problem]] = []
        asked = [(each.importer.name, self._asked(each)) for each in sources]
        try:
            for name, answer in asked:
                try:
                    found += await answer
                except (ImporterBroken, OriginError) as problem:
                    problems.append((name, problem))
        finally:
            for _, answer in asked:
                answer.addErrback(lambda _: None)
                answer.cancel()
        return found, problems

    def _asked(self, source: RemoteArtifact) -> Deferred[list[Candidate]]:
        seconds = self.settings.first_byte_seconds / LIST_PART
        answer = Deferred.fromCoroutine(self.candidates(source))
        return answer if answer.called else answer.addTimeout(seconds, self.clock, _too_late)

    async def candidates(self, source: RemoteArtifact) -> list[Candidate]:
        """The origins of a source, one or as many as its importer knows.

        Raises `ImporterBroken`, or an `OriginError` where the importer cannot find out.
        """
        config = source.importer
        importer = self.importers.importer(config)
        with self.defects_told(config):
            if hasattr(importer, "downloaders"):
                downloaders = await cast(MirroringImporter, importer).downloaders(source)
            else:
                downloaders = [importer.downloader(source)]
            return [
                Candidate(config.name, each, config, source, source.url, each.origin, each.retries)
                for each in downloaders[:MAX_PLACES]
            ]

    def prospect(self, candidate: Candidate, artifact: Artifact | None) -> Prospect:
        """What is known of a candidate before it is asked for the artifact."""
        key, remote = candidate.key, candidate.remote
        if key is None:
            return Prospect(priority=0)
        return Prospect(
            priority=0 if remote is None else remote.priority,
            retries=candidate.retries,
            failures=self.health.failures(key),
            lags=self.health.lags(key),
            is_last_resort=artifact is not None and self.health.is_quarantined(artifact, key),
        )

    def built(self, config: DownloadConfig, build: Callable[[Importer], T]) -> T:
        """What an importer makes for one exchange; raises `ImporterBroken`, whatever it does."""
        importer = self.importers.importer(config)
        with self.defects_told(config):
            return build(importer)

    @contextmanager
    def defects_told(self, config: DownloadConfig) -> Iterator[None]:
        """Whatever an importer raises that it may not is logged, and `ImporterBroken`."""
        try:
            yield
        except (ImporterBroken, OriginError, CancelledError):
            raise
        except Exception as error:
            _log.failure("an importer failed in a way that is a defect")
            raise ImporterBroken(config.name, type(error).__name__) from error


class Supply:
    """The candidates of one exchange and what has become of them.

    Rule: the content of at most one of them is under way. Without an `artifact` the first that
    serves says how much content there is; `problems` say why some importers give no candidate.
    """

    def __init__(
        self,
        shared: Supplies,
        candidates: Sequence[Candidate],
        notes: Notes,
        artifact: Artifact | None = None,
        problems: Sequence[tuple[str, Problem]] = (),
        began_at: float | None = None,
    ) -> None:
        self._shared = shared
        self._artifact = artifact
        self._notes = notes
        broken = [each for _, each in problems if isinstance(each, ImporterBroken)]
        self._broken = broken[0] if broken else None
        self._candidates = candidates
        self._plan = Plan(
            [shared.prospect(each, artifact) for each in self._candidates],
            now=shared.clock.seconds() if began_at is None else began_at,
            budget_seconds=shared.settings.first_byte_seconds,
            jitter=shared.jitter,
        )
        self._turn: Turn | None = None
        self._served: dict[int, Candidate] = {}
        """Who has sent parts of what is under way, by their places."""
        self._promised = None if artifact is None else artifact.size
        self._total = self._promised
        self._resumed_at = BEFORE_ALL
        self.failures: list[tuple[str, OriginError]] = [
            (name, each) for name, each in problems if isinstance(each, OriginError)
        ]
        """The importer's name and the error of every attempt that failed, in order; in mid-stream
        of those since the content last got further."""

    # -- turns

    async def opened(self, span: ByteRange | None = None) -> Opened | None:
        """The first that opens all of the content, or `span` of it; see `Downloader.open`.

        Whatever came before is forgotten. None where nobody is left to be asked; raises what is no
        `OriginError`. The turn of who has opened it may last for its share of the time.
        """
        self._served.clear()
        self._total = self._promised
        opened = await self._first(lambda turn: self._open(turn, span))
        if opened is not None and span is None and self._total is None:
            self._total = opened.download.response.length
        return opened

    async def opened_rest(self, rest: ByteRange) -> Opened | None:
        """The same for what is to be joined to the content that has come."""
        return await self._first(lambda turn: self._open(turn, rest))

    async def _first(self, open_one: OpenOne) -> Opened | None:
        opened = await Opening(self, open_one, self._shared.clock).winner
        if opened is not None:
            turn = self._turn = opened.turn
            turn.seconds = self._plan.share(self._shared.clock.seconds())
            self._notes.origin, self._notes.source = turn.candidate.name, turn.candidate.source
            self._served[turn.place] = turn.candidate
        return opened

    def next_step(self) -> Step | None:
        """See `opening.Entrants`, as of the following two."""
        return self._plan.next(self._shared.clock.seconds())

    def turn_of(self, step: Step) -> Turn:
        candidate, clock = self._candidates[step.candidate], self._shared.clock
        return Turn(step.candidate, candidate, step.seconds, clock, step.alone_seconds)

    def let_go(self, turn: Turn) -> None:
        self._plan.let_go(turn.place)
        if turn.inquiry is not None and turn.was_beside_others:
            self._shared.health.outrun(turn.inquiry.key)

    async def _open(self, turn: Turn, span: ByteRange | None) -> Download:
        self._ask(turn)
        try:
            download = await turn.open(span)
            _refuse_wrong_length(self._total, download)
        except OriginError as error:
            self._judge(turn, error)
            raise
        except CancelledError:
            self._judge(turn, None)
            raise
        self._judge_well(turn)
        return download

    def _ask(self, turn: Turn) -> None:
        """Raise where it is known already that asking is in vain."""
        candidate, health = turn.candidate, self._shared.health
        self._notes.origin, self._notes.source = candidate.name, candidate.source
        if candidate.place is not None and health.is_missing(candidate.place):
            raise OriginLacksIt(404)
        if candidate.key is not None:
            turn.inquiry = health.ask(candidate.key, candidate.content)
        turn.was_asked = True
        self._notes.attempts += 1

    def _judge(self, turn: Turn, error: OriginError | None) -> None:
        """Tell the origin's health how the asking ended; None, or our own leaving, says nothing."""
        if turn.inquiry is None:
            return
        if error is None:
            self._shared.health.let_go(turn.inquiry)
        else:
            self._shared.health.failed(turn.inquiry, error)

    def _judge_well(self, turn: Turn) -> None:
        turn.has_answered = True
        if turn.inquiry is not None:
            self._shared.health.answered(turn.inquiry)

    def served(self) -> None:
        """All that was wanted has come; who sent the end of it is well."""
        if self._turn is not None and self._turn.inquiry is not None:
            self._shared.health.served(self._turn.inquiry)

    # -- failures

    def failed(self, turn: Turn, error: OriginError) -> None:
        """The attempt of whose turn it was has failed; told twice, it counts once."""
        if turn.has_failed:
            return
        turn.has_failed = True
        name, metrics = turn.candidate.name, self._shared.metrics
        self.failures.append((name, error))
        self._plan.failed(turn.place, error, self._shared.clock.seconds())
        if turn.was_asked:
            metrics.origin_failed(name, type(error).__name__)
            self._remember(turn, error)
        else:
            metrics.origin_avoided(name)

    def _remember(self, turn: Turn, error: OriginError) -> None:
        """Let later exchanges know what says something of this origin, or of this content there."""
        candidate, health = turn.candidate, self._shared.health
        if turn.has_answered and turn.inquiry is not None and error.counts_against:
            health.failed(turn.inquiry, error)
        if isinstance(error, OriginLacksIt) and candidate.place is not None:
            health.note_missing(candidate.place)
        if isinstance(error, ContentMismatch) and not isinstance(error, BeginningMismatch):
            # Where several have sent parts of it, nobody knows whose was wrong.
            self._quarantine(self._served.values() if turn is self._turn else [candidate])

    def _quarantine(self, senders: Iterable[Candidate]) -> None:
        for each in senders:
            if self._artifact is not None and each.key is not None:
                self._shared.health.quarantine(self._artifact, each.key)
                self._shared.metrics.quarantined(each.name)

    def lost(self, error: OriginError) -> None:
        """The content that was under way has failed."""
        if self._turn is not None:
            self.failed(self._turn, error)

    def verdict(self) -> StreamerError:
        """Why nobody served: what follows from all attempts.

        Where an importer is broken nobody knows whether its origin has what all the others lack.
        """
        all_lack_it = all(error.outcome is Outcome.MISSING for _, error in self.failures)
        if self._broken is not None and all_lack_it:
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
        has_progress = position > self._resumed_at
        if has_progress:
            self.failures.clear()
        self.lost(failure)
        if self._turn is None or self._total is None or position >= self._total:
            raise failure
        if has_progress:
            self._go_further(self._turn, position)
        else:
            self._plan.renew(*self._budget())
        rest = ByteRange(position, self._total - 1)
        opened = await self._first(lambda turn: self._open_behind(turn, rest))
        if opened is None:
            raise failure
        return self._joined(opened, rest)

    def _go_further(self, turn: Turn, position: int) -> None:
        is_far = position - self._resumed_at >= FAR_BYTES
        self._resumed_at = position
        self._plan.resume(turn.place, *self._budget(), is_far=is_far)

    def begin_anew(self) -> None:
        """Nothing is left of what has come: whoever may still be asked gets a new budget for it."""
        if self._turn is not None:
            self._resumed_at = BEFORE_ALL
            self._plan.resume(self._turn.place, *self._budget())

    def _budget(self) -> tuple[float, float]:
        """The time, and how much of it there is from now on until content has to come."""
        return self._shared.clock.seconds(), self._shared.settings.first_byte_seconds

    async def _open_behind(self, turn: Turn, rest: ByteRange) -> Download:
        """The rest, or all of it, if its beginning is not too much to be left out."""
        download = await self._open(turn, rest)
        is_whole = download.response.part_of is None
        if is_whole and rest.first > self._shared.settings.skip_up_to_bytes:
            download.stop()
            raise OriginRefused(200)
        return download

    def _joined(self, opened: Opened, rest: ByteRange) -> Download:
        self._shared.metrics.resumed(opened.turn.candidate.name)
        if opened.download.response.part_of is not None:
            return opened.download
        return Remainder(opened.download, rest.first, self.count)


def _too_late(result: object, seconds: float) -> NoReturn:
    raise OriginTimedOut


def _refuse_wrong_length(size: int | None, download: Download) -> None:
    """Find a login page or another file out by its length, before anything of it is used."""
    origin = download.response
    announced = origin.length if origin.part_of is None else origin.part_of
    if size is not None and announced is not None and size != announced:
        download.stop()
        raise SizeMismatch(size, announced)
