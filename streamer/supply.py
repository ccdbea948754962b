"""Where the content of one exchange comes from: origin after origin, as the plan says.

Strategy. A supply knows the candidates of one published artifact and lets them have their turns,
one beside the other where they are slow to answer (`opening`), until one of them has content. What
a turn comes to is told to the plan, which decides on the next, and to whoever has to know beside it
(`testimony`). Before the head every turn begins at the first byte. After it, a turn goes on at the
byte where the content broke off, and only at an origin that shows that it does so: 206 with that
very range and the same total, or all of it again, of which the beginning is left out as long as
that is not much (invariant 2). Content that crawls goes on elsewhere when somebody has opened that
very range beside it (`relief`).

Candidates may come to be known in the middle, as an origin can name others beside its content. So
importers are asked again when content breaks off, and when nobody is left.

Separate from `delivery`, because a client is not needed: a file is filled in the same way. It sees
ports, never an importer's kind; how a candidate is asked in its turn is `turns`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from twisted.internet.defer import CancelledError

from streamer.errors import (
    ImporterBroken,
    NoOriginServed,
    OriginError,
    OriginRefused,
    OriginTooSlow,
    Outcome,
    SizeMismatch,
    StreamerError,
)
from streamer.interfaces import Download
from streamer.model import Artifact, PublishedArtifact
from streamer.opening import Opened, Opening, OpenOne
from streamer.plan import Plan, Prospect, Step
from streamer.ranges import ByteRange
from streamer.rates import Flow
from streamer.relief import Beside, Relief
from streamer.spans import Remainder, SpansDownload, behind
from streamer.supplies import Problem, Supplies
from streamer.testimony import Testimony
from streamer.transfers import Notes
from streamer.turns import HELD, Candidate, HeldDownloader, Turn

BEFORE_ALL = -1
"""A position before the first byte: to go on from there is to get further too."""

FAR_BYTES = 64 * 1024
"""What one attempt has to bring to be no matter of patience: about one read of a socket. An origin
that sends a byte at a time is given up by the number of attempts."""

MAX_LEARNED = 100
"""Candidates that may join those from the beginning: an origin may name others in each answer."""


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
        self._testimony = Testimony(shared.health, shared.metrics, notes, artifact)
        broken = [each for _, each in problems if isinstance(each, ImporterBroken)]
        self._broken = broken[0] if broken else None
        self._candidates = list(candidates)
        self._may_join = MAX_LEARNED
        self._plan = Plan(
            self._prospects(),
            now=shared.clock.seconds() if began_at is None else began_at,
            budget_seconds=shared.settings.first_byte_seconds,
            jitter=shared.jitter,
        )
        self._relief = Relief(shared.settings.slow_bytes)
        self._turn: Turn | None = None
        self._promised = None if artifact is None else artifact.size
        self._total = self._promised
        self._spans: tuple[ByteRange, ...] = ()
        self._are_proven = False
        self._resumed_at = BEFORE_ALL
        self.failures: list[tuple[str, OriginError]] = [
            (name, each) for name, each in problems if isinstance(each, OriginError)
        ]
        """The importer's name and the error of every attempt that failed, in order; in mid-stream
        of those since the content last got further."""

    @classmethod
    async def of(cls, shared: Supplies, published: PublishedArtifact, notes: Notes) -> Self:
        """The supply for one exchange, which notes there whom it asks.

        Its time begins now. It takes a while only where an importer has to fetch a list first, and
        no longer than a part of that time.
        """
        if published.held:
            held = Candidate(HELD, HeldDownloader(shared.catalog, published))
            return cls(shared, [held], notes, published.artifact)
        began_at = shared.clock.seconds()
        found, problems = await shared.found(published.sources)
        return cls(shared, found, notes, published.artifact, problems, began_at)

    def _prospects(self) -> list[Prospect]:
        return [self._shared.prospect(each, self._artifact) for each in self._candidates]

    async def _learn(self) -> bool:
        """Look again at what is known of the candidates; whether more of them are known now."""
        known = {each.place for each in self._candidates}
        sources = {each.remote: None for each in self._candidates if each.remote is not None}
        found, _ = await self._shared.found([*sources])
        strangers = [each for each in found if each.place not in known]
        joining = strangers[: self._may_join]
        self._may_join -= len(joining)
        self._candidates += joining
        self._plan.learn(self._prospects())
        return bool(joining)

    # -- turns

    async def opened(
        self, spans: Sequence[ByteRange] = (), *, are_proven: bool = False
    ) -> Opened | None:
        """The first that opens all of the content, or begins with these `spans` of it.

        Whatever came before is forgotten. Spans that are proven by themselves may be gone on with
        elsewhere. An origin that ignores ranges opens all of the content, see `Downloader.open`;
        what is wanted of it is then what comes up to the end of the last proven span. None where
        nobody is left to be asked; raises what is no `OriginError`. The turn of who has opened it
        may last for its share of the time.
        """
        self._testimony.begin()
        self._total = self._promised
        self._spans, self._are_proven = tuple(spans), are_proven
        opened = await self._first(lambda turn: self._open(turn, spans[0] if spans else None))
        if opened is None:
            return None
        if spans and opened.download.response.part_of is None:
            self._spans = (ByteRange(0, spans[-1].last),) if are_proven else ()
        if not spans and self._total is None:
            self._total = opened.download.response.length
        return self._joined(opened, self._spans)

    async def opened_rest(self, rest: ByteRange) -> Opened | None:
        """The same for what is to be joined to the content that has come."""
        return await self._first(lambda turn: self._open(turn, rest))

    async def _first(self, open_one: OpenOne) -> Opened | None:
        opened = await Opening(self, open_one, self._shared.clock).winner
        if opened is None and await self._learn():
            opened = await Opening(self, open_one, self._shared.clock).winner
        if opened is not None:
            turn = self._turn = opened.turn
            turn.seconds = self._plan.share(self._shared.clock.seconds())
            self._testimony.sends(turn)
        return opened

    def next_step(self) -> Step | None:
        """See `opening.Entrants`, as of the following three."""
        return self._plan.next(self._shared.clock.seconds())

    def turn_of(self, step: Step) -> Turn:
        candidate, clock = self._candidates[step.candidate], self._shared.clock
        return Turn(step.candidate, candidate, step.seconds, clock, step.alone_seconds)

    def let_go(self, turn: Turn) -> None:
        self._plan.let_go(turn.place)
        self._testimony.outrun(turn)

    def put_off(self, step: Step) -> None:
        self._plan.let_go(step.candidate)

    async def _open(self, turn: Turn, span: ByteRange | None) -> Download:
        self._testimony.ask(turn)
        try:
            download = await turn.open(span)
            _refuse_wrong_length(self._total, download)
        except OriginError as error:
            self._testimony.gone(turn, error)
            raise
        except CancelledError:
            self._testimony.gone(turn, None)
            raise
        self._testimony.answered(turn)
        return download

    def served(self) -> None:
        """All that was wanted has come."""
        self._testimony.served()

    # -- failures

    def failed(self, turn: Turn, error: OriginError) -> None:
        """The attempt of whose turn it was has failed; told twice, it counts once."""
        if turn.has_failed:
            return
        self.failures.append((turn.candidate.name, error))
        self._plan.failed(turn.place, error, self._shared.clock.seconds())
        self._testimony.failed(turn, error)

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
        self._testimony.received(received_bytes)

    async def resume(self, position: int, failure: OriginError) -> Download:
        """Open the content from `position` on, where `failure` broke it off; see `fetch.Resume`.

        Of spans it is a position within them, strung together. A suspicion, of which a transfer has
        only so many, uses up nobody's attempts, though the content may go back for it. Gives up,
        which raises `failure`, where the plan does, and where the length of the content is not
        known.
        """
        has_progress = position > self._resumed_at or failure.is_suspicion
        if has_progress:
            self.failures.clear()
        self.lost(failure)
        rest = self._rest(position)
        if self._turn is None or not rest:
            raise failure
        await self._learn()
        if has_progress:
            self._go_further(self._turn, position)
        else:
            self._plan.renew(*self._budget())
        # All of the content is no use to who wants more than one part of it.
        skipped = self._shared.settings.skip_up_to_bytes if len(rest) == 1 else -1
        opened = await self._first(lambda turn: self._open_behind(turn, rest[0], skipped))
        if opened is None:
            raise failure
        self._testimony.resumed(opened.turn)
        if opened.download.response.part_of is None:
            return Remainder(opened.download, rest[0].first, self.count)
        return self._joined(opened, rest).download

    def _rest(self, position: int) -> tuple[ByteRange, ...]:
        """What is wanted of the content from this position on; nothing where nobody knows."""
        if self._total is None:
            return ()
        return behind(self._spans or (ByteRange(0, self._total - 1),), position)

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

    async def _open_behind(self, turn: Turn, rest: ByteRange, skip_up_to: int) -> Download:
        """The rest, or all of it, if its beginning is not too much to be left out."""
        download = await self._open(turn, rest)
        is_whole = download.response.part_of is None
        if is_whole and rest.first > skip_up_to:
            download.stop()
            raise OriginRefused(200)
        return download

    def _joined(self, opened: Opened, spans: Sequence[ByteRange]) -> Opened:
        """All of the spans, of which the first is open."""
        if len(spans) < 2:
            return opened
        downloader = opened.turn.candidate.downloader
        joined = SpansDownload(downloader, opened.download, spans, are_proven=self._are_proven)
        return Opened(opened.turn, joined)

    # -- from slow content to better

    def note_flow(self, flow: Flow) -> None:
        """Content flowed so, in the last while, from whose turn it is."""
        self._testimony.flowed(flow)

    async def relieve(self, position: Callable[[], int], flow: Flow) -> Download | None:
        """Let another one open the rest of the content, if it crawls; see `fetch.Relieve`.

        Who answers with all of it is not taken: that would cost the beginning once more. What is
        left of several spans is not relieved.
        """
        began_with = position()
        rest = self._rest(began_with)
        plan = self._plan_of_relief(rest, flow)
        if plan is None or self._turn is None:
            return None
        began_at = self._shared.clock.seconds()
        self._relief.begin(began_at)
        others = Beside(plan, self.turn_of, self._testimony, self._shared.clock.seconds)
        try:
            opened = await Opening(
                others, lambda turn: self._open_behind(turn, rest[0], 0), self._shared.clock
            ).winner
            if opened is None:
                return None
            came, seconds = position() - began_with, self._shared.clock.seconds() - began_at
            if self._relief.has_recovered(came, seconds, FAR_BYTES):
                opened.download.stop()
                return None
            self._leave(self._turn, opened.turn, position(), flow)
            return Remainder(opened.download, came, self.count) if came else opened.download
        finally:
            self._testimony.note_source(self._turn)

    def _plan_of_relief(self, rest: Sequence[ByteRange], flow: Flow) -> Plan | None:
        if self._turn is None or len(rest) != 1:
            return None
        if not self._relief.is_wanted(flow, rest[0].length, self._shared.clock.seconds()):
            return None
        prospects = self._relief.seen(self._prospects())
        return self._plan.relief(self._turn.place, flow.rate, prospects, *self._budget())

    def _leave(self, turn: Turn, taken: Turn, position: int, flow: Flow) -> None:
        """The content goes on at another one from this position."""
        self._relief.left(turn.place, flow.rate)
        self._plan.take_over(turn.place, taken.place, *self._budget())
        self._testimony.left(turn, taken, position, OriginTooSlow(flow.rate.at_most))
        self._turn, self._resumed_at = taken, position
        self._testimony.sends(taken)


def _refuse_wrong_length(size: int | None, download: Download) -> None:
    """Find a login page or another file out by its length, before anything of it is used."""
    origin = download.response
    announced = origin.length if origin.part_of is None else origin.part_of
    if size is not None and announced is not None and size != announced:
        download.stop()
        raise SizeMismatch(size, announced)
