"""Attempts that overlap until one of them has opened its content.

Strategy. One candidate is asked; the next one follows at once where it fails, and is asked beside
it where it has not answered for a while. The first to answer is taken, and the others are given up.
So an origin that says nothing costs a client that while, and a list of mirrors of which most are
silent still serves within the budget.

Separate from `supply`, which knows what an attempt and its failure mean, and from `plan`, which
decides who is next and after how long: here are the attempts that are under way, and one timer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from streamer.errors import OriginError
from streamer.interfaces import Download
from streamer.plan import Step
from streamer.turns import Turn

OpenOne = Callable[[Turn], Coroutine[Any, Any, Download]]
"""Opens what is wanted at whose turn it is. It changes nothing else, since it may be given up."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Who answered, and with what. Whoever gets it stops the download in the end."""

    turn: Turn
    download: Download


class Entrants(Protocol):
    """Those who may be asked, and what becomes of them."""

    def next_step(self) -> Step | None:
        """Who is next; None where nobody may be asked beside those that are."""

    def turn_of(self, step: Step) -> Turn:
        """The turn that begins now."""

    def failed(self, turn: Turn, error: OriginError) -> None:
        """An attempt has failed."""

    def let_go(self, turn: Turn) -> None:
        """An attempt was given up, because another one has answered."""

    def put_off(self, step: Step) -> None:
        """Who was to be asked after a wait is not: another one has failed meanwhile, or answered.

        Whoever is next now may be somebody else.
        """


class Opening:
    """Rule: when `winner` has fired or was cancelled, no other attempt is under way, no timer is
    left, and no download is open but the winner's.

    It fires with None where nobody is left to be asked, and fails with what `open_one` raises that
    is no `OriginError`.
    """

    def __init__(self, entrants: Entrants, open_one: OpenOne, clock: IReactorTime) -> None:
        self.winner: Deferred[Opened | None] = Deferred(lambda _: self._stop())
        self._entrants = entrants
        self._open_one = open_one
        self._clock = clock
        self._under_way: dict[Turn, Deferred[Download]] = {}
        self._timer: IDelayedCall | None = None
        self._waiting: Step | None = None
        self._is_beginning = False
        self._is_over = False
        self._go_on()

    def _go_on(self) -> None:
        """Ask the next one, and again the next one as long as they fail at once."""
        self._timer = None
        while not self._is_over and self._ask_next():
            pass

    def _ask_next(self) -> bool:
        """Whether whoever was asked has failed at once."""
        step = self._entrants.next_step()
        if step is None:
            if not self._under_way:
                self._end()
                self.winner.callback(None)
            return False
        if step.wait_seconds > 0:
            self._waiting = step
            self._timer = self._clock.callLater(step.wait_seconds, self._begin_late, step)
            return False
        return self._begin(step)

    def _begin_late(self, step: Step) -> None:
        self._waiting = None
        if self._begin(step):
            self._go_on()

    def _begin(self, step: Step) -> bool:
        """Let a turn begin; whether it is over at once."""
        self._timer = self._clock.callLater(step.alone_seconds, self._go_on)
        turn = self._entrants.turn_of(step)
        self._is_beginning = True
        attempt = self._under_way[turn] = Deferred.fromCoroutine(turn.within(self._open_one(turn)))
        attempt.addCallbacks(
            self._answered, self._failed, callbackArgs=(turn,), errbackArgs=(turn,)
        )
        self._is_beginning = False
        if self._is_over and turn in self._under_way:
            # To ask this one has let another one answer.
            attempt.cancel()
            self._entrants.let_go(turn)
        is_over = turn not in self._under_way
        if is_over:
            self._cancel_timer()
        return is_over

    def _answered(self, download: Download, turn: Turn) -> None:
        del self._under_way[turn]
        if self._is_over:
            download.stop()
            return
        losers = [*self._under_way]
        self._stop()
        for loser in losers:
            self._entrants.let_go(loser)
        if self.winner.called:
            # To give the others up has made their client leave.
            download.stop()
            return
        self.winner.callback(Opened(turn, download))

    def _failed(self, failure: Failure, turn: Turn) -> None:
        del self._under_way[turn]
        if self._is_over:
            return
        if not isinstance(failure.value, OriginError):
            self._stop()
            self.winner.errback(failure)
            return
        self._entrants.failed(turn, failure.value)
        if not self._is_beginning:
            self._cancel_timer()
            self._go_on()

    def _stop(self) -> None:
        self._end()
        for attempt in [*self._under_way.values()]:
            attempt.cancel()

    def _end(self) -> None:
        self._is_over = True
        self._cancel_timer()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting is not None:
            step, self._waiting = self._waiting, None
            self._entrants.put_off(step)
