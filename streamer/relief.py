"""When content that comes far too slowly is worth another origin, and who is asked for it then.

Strategy. Content crawls where less than `delivery.slow` comes in a second for which the origin was
waited for. Then a few others are asked for the rest of it *beside* it. Only when one of them has
opened that very rest is the first one left, so that no transfer is worse off for having asked:
where nobody answers, or nobody has ranges, or the first one has found its pace meanwhile, it goes
on.

- Nobody is asked who is known to be no better: where all are slow, nobody is left for another as
  slow. Whom this exchange has left it knows by what it saw, whatever others say of it.
- Each asking is a while later than the one before, and there are `MAX_RELIEFS` of them.
- What will be over soon is let be.

Separate from `supply`, which opens what is asked for and says whose turn it is, and from `fetch`,
which measures. It looks at one exchange; that an origin is slow is for `health` to remember.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from streamer.errors import OriginError
from streamer.plan import Plan, Prospect, Step
from streamer.rates import Flow, Rate
from streamer.testimony import Testimony
from streamer.turns import Turn

MAX_RELIEFS = 5
PAUSE_SECONDS = 10.0
"""Askings of one exchange, and the pause after the first; each pause is twice the last."""

SOON_SECONDS = 10.0
"""What is over so soon at its present pace is not worth another request."""


class Relief:
    """The patience of one exchange with slow origins. Times are in seconds, and passed in."""

    def __init__(self, slow_bytes: int) -> None:
        self._slow_bytes = slow_bytes
        self._askings = 0
        self._not_before = 0.0
        self._seen: dict[int, Rate] = {}

    def is_wanted(self, flow: Flow, left_bytes: int, now: float) -> bool:
        """Whether somebody else should be asked for what is left, seeing what came lately."""
        may_be_asked = self._askings < MAX_RELIEFS and now >= self._not_before
        is_long = left_bytes > flow.rate.at_most * SOON_SECONDS
        return may_be_asked and is_long and flow.crawls(self._slow_bytes)

    def begin(self, now: float) -> None:
        """Somebody is asked."""
        self._not_before = now + PAUSE_SECONDS * 2**self._askings
        self._askings += 1

    def has_recovered(self, received_bytes: int, seconds: float, slack_bytes: int) -> bool:
        """Whether so much came while others were asked that it does not crawl any more."""
        return received_bytes > max(slack_bytes, self._slow_bytes * seconds)

    def left(self, place: int, rate: Rate) -> None:
        """The candidate at this place was left, as it sent no more than this."""
        self._seen[place] = rate

    def seen(self, prospects: Sequence[Prospect]) -> list[Prospect]:
        """The prospects with the rates that this exchange saw itself."""
        return [
            replace(each, rate=self._seen.get(place, each.rate))
            for place, each in enumerate(prospects)
        ]


class Beside:
    """Those who are asked beside content that crawls; see `opening.Entrants`."""

    def __init__(
        self,
        plan: Plan,
        turn_of: Callable[[Step], Turn],
        testimony: Testimony,
        now: Callable[[], float],
    ) -> None:
        self._plan = plan
        self.turn_of = turn_of
        self._testimony = testimony
        self._now = now

    def next_step(self) -> Step | None:
        return self._plan.next(self._now())

    def failed(self, turn: Turn, error: OriginError) -> None:
        self._plan.failed(turn.place, error, self._now())
        self._testimony.failed(turn, error)

    def let_go(self, turn: Turn) -> None:
        self._plan.let_go(turn.place)
        self._testimony.outrun(turn)

    def put_off(self, step: Step) -> None:
        self._plan.let_go(step.candidate)
