"""What one exchange tells of its turns: to the health that all share, to the metrics, to its notes.

Separate from `supply`, which decides whose turn it is: nothing here changes what happens next in
this exchange, but for an origin that is not to be asked at all, which is known before (`ask`).
Who asked, who answered and who sent the content are three things: an origin may answer well and
then send what is wrong, and content may be of several origins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.logger import Logger

from streamer.errors import (
    BeginningMismatch,
    ContentChanged,
    ContentMismatch,
    OriginError,
    OriginLacksIt,
    OriginTooSlow,
    PieceMismatch,
)
from streamer.health import Health
from streamer.metrics import Metrics
from streamer.model import Artifact
from streamer.rates import Flow
from streamer.transfers import Notes
from streamer.turns import Candidate, Turn

_log = Logger()


class Testimony:
    """Rule: each turn that may `ask` has exactly one of `answered` and `gone` after it."""

    def __init__(
        self, health: Health, metrics: Metrics, notes: Notes, artifact: Artifact | None
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._notes = notes
        self._artifact = artifact
        self._sending: Turn | None = None
        self._count: Callable[[int], None] | None = None
        self._senders: dict[int, Candidate] = {}

    # -- before content

    def ask(self, turn: Turn) -> None:
        """The origin is about to be asked; raises where it is known already that it is in vain."""
        candidate, health = turn.candidate, self._health
        self.note_source(turn)
        if candidate.place is not None and health.is_missing(candidate.place):
            raise OriginLacksIt(404)
        if candidate.key is not None:
            turn.inquiry = health.ask(candidate.key, candidate.content)
        turn.was_asked = True
        self._notes.attempts += 1

    def note_source(self, turn: Turn) -> None:
        """Whoever reads the transfer log is told this one."""
        self._notes.origin, self._notes.source = turn.candidate.name, turn.candidate.source

    def answered(self, turn: Turn) -> None:
        """It has what it was asked for."""
        turn.has_answered = True
        if turn.inquiry is not None:
            self._health.answered(turn.inquiry)

    def gone(self, turn: Turn, error: OriginError | None) -> None:
        """It has not, or was not waited for: None, our own leaving, says nothing of it."""
        if turn.inquiry is None:
            return
        if error is None:
            self._health.let_go(turn.inquiry)
        else:
            self._health.failed(turn.inquiry, error)

    def outrun(self, turn: Turn) -> None:
        """Another one answered before it; who only waits for its importer is not slow."""
        if turn.inquiry is not None and turn.was_beside_others and not turn.was_crowded:
            self._health.outrun(turn.inquiry.key)

    # -- with content

    def begin(self) -> None:
        """Nothing of the content has come."""
        self._senders.clear()

    def sends(self, turn: Turn) -> None:
        """The content, or what is left of it, comes from this one."""
        self._sending = turn
        self._count = self._metrics.received_from(turn.candidate.name)
        self._senders[turn.place] = turn.candidate
        self.note_source(turn)

    def received(self, received_bytes: int) -> None:
        """So much came."""
        if self._count is not None:
            self._count(received_bytes)

    def flowed(self, flow: Flow) -> None:
        """It came so in the last while."""
        if self._sending is not None and self._sending.candidate.key is not None:
            self._health.note_flow(self._sending.candidate.key, flow)

    def resumed(self, turn: Turn) -> None:
        """It goes on with content that broke off."""
        self._metrics.resumed(turn.candidate.name)

    def left(self, turn: Turn, taken: Turn, position: int, error: OriginTooSlow) -> None:
        """Its content crawled, and goes on at another one from this position."""
        self._metrics.origin_failed(turn.candidate.name, type(error).__name__)
        self._metrics.resumed(taken.candidate.name)
        if turn.candidate.key is not None:
            self._health.left(turn.candidate.key)
        _log.info(
            "importer {importer}: {origin} is left at byte {position}, where {other} goes on: "
            "{error}",
            importer=turn.candidate.name,
            origin=turn.candidate.origin,
            position=position,
            other=taken.candidate.origin,
            error=error,
        )

    def served(self) -> None:
        """All that was wanted has come; who sent the end of it is well."""
        if self._sending is not None and self._sending.inquiry is not None:
            self._health.served(self._sending.inquiry)

    # -- failures

    def failed(self, turn: Turn, error: OriginError) -> None:
        """Count it, and let later exchanges know what it says of this origin, or this content."""
        turn.has_failed = True
        name = turn.candidate.name
        if turn.was_asked:
            self._metrics.origin_failed(name, type(error).__name__)
            self._remember(turn, error)
        else:
            self._metrics.origin_avoided(name)

    def _remember(self, turn: Turn, error: OriginError) -> None:
        candidate, health = turn.candidate, self._health
        if turn.has_answered and turn.inquiry is not None and error.counts_against:
            health.failed(turn.inquiry, error)
        if isinstance(error, OriginLacksIt) and candidate.place is not None:
            health.note_missing(candidate.place)
        if isinstance(error, ContentMismatch) and not isinstance(error, BeginningMismatch):
            is_its_own = isinstance(error, (ContentChanged, PieceMismatch))
            is_nobody_elses = turn is not self._sending or is_its_own
            self._blame([candidate] if is_nobody_elses else self._senders.values())

    def _blame(self, senders: Iterable[Candidate]) -> None:
        """Where several have sent parts of it nobody knows whose was wrong.

        Who began is blamed most, so that of the same ones another begins the next time: a liar that
        breaks off would else spoil for ever what a good one completes.
        """
        blame = 2
        for each in senders:
            if self._artifact is not None and each.key is not None:
                self._health.quarantine(self._artifact, each.key, blame)
                self._metrics.quarantined(each.name)
            blame = 1
