"""Which origin is asked next, for how long, and what a client is told when none could serve.

Pure: the time is passed in and randomness too, so that every decision can be tried in a test. It
knows no origin, only what speaks for and against each *prospect*; who asks them, and what is
remembered of them from one exchange to the next, is decided elsewhere (`delivery`, `health`).

Strategy. The candidates are the entry's own sources, never another entry's. A plan goes through
them in rounds, within one budget of time for the first byte, waits included:

- **First round**: each candidate once. Last resorts come last, and before them those that lag,
  because others outran them lately; then priority decides, then who failed least often lately, then
  the order in which they were stated. The next one is asked when one has failed, and beside it when
  it has not answered for a while: the less of that the more there are, since many of a list of
  mirrors may be silent. Who answers first is taken. An attempt gets a fair share of what is left,
  as it may hold the connection that the next one needs; the last one gets all of it.
- **Later rounds**: those whose last error `may_recover`, as often as their importer grants, each
  after a back-off that doubles, or later where it asked for that. The soonest comes first. A wait
  that leaves no time for an answer is not begun.
- **Never again** in this exchange: who said something that a moment does not change (404, 401,
  wrong TLS, wrong content, a redirect in a circle), and who has no connection left for us. Who is
  avoided because of its past is asked again only if that takes no longer than a back-off: another
  exchange may be finding out right now that it is well. In mid-stream, where there is no other
  answer than a break, that is waited for which the budget allows.

Who has answered may still fall silent before there is anything to show a client, as where content
is small. So it gets a fair share too (`share`).

Content that breaks off in the middle begins a new budget and a new first round (`resume`): where
it broke comes first, because most breaks are those of one connection; where it fell silent, or
brought hardly anything, comes last. It ends when three attempts in a row brought nothing, because a
client that sees a break soon can go elsewhere soon.

Whatever happens, an exchange makes `MAX_ATTEMPTS` at most, and `MAX_STRETCH_ATTEMPTS` more for each
stretch of content that is worth them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamer.errors import OriginAvoided, OriginError, Outcome
from streamer.fields import RETRY_AFTER_SECONDS
from streamer.model import PublishedArtifact, RemoteArtifact

MAX_ATTEMPTS = 100
"""Of one exchange: a long list of mirrors may be silent but for its end. Who was
not asked, because it is avoided, does not count."""

MAX_STRETCH_ATTEMPTS = 30
"""Of each stretch of content that was worth them."""

MAX_UNDER_WAY = 16
"""Attempts at a time: what a list of fifty mirrors, nearly all of them silent, needs in time."""

MAX_ALONE_SECONDS = 2.0
MIN_ALONE_SECONDS = 0.1
"""How long an attempt goes on before another begins beside it. Names, TCP and TLS take three round
trips, and one packet may get lost, which costs a second."""

MAX_FRUITLESS = 3
"""Attempts that may fail, one after the other, to go on where content broke off."""

MIN_SHARE_SECONDS = 2.0
"""What an attempt gets as long as that much is left, or a quarter of a small budget."""

MIN_RETRY_SECONDS = 0.5
"""What must be left after a wait, or half of a budget that is small."""

BACKOFF_SECONDS = 0.1
MIDSTREAM_BACKOFF_SECONDS = 1.0
"""Or an eighth of a budget that is small. While content waits to go on there are few attempts and
no other answer, so they are spread over the time that a server needs to start anew."""

MAX_BACKOFF_SECONDS = 2.0

MAX_RETRY_AFTER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Prospect:
    """What is known of a candidate before it is asked; a lower priority is asked first."""

    priority: int
    retries: int = 0
    failures: int = 0
    lags: bool = False
    is_last_resort: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Wait, then ask this candidate (an index into the prospects) and give it so many seconds.

    After `alone_seconds` of them the next one may be asked beside it.
    """

    candidate: int
    wait_seconds: float
    seconds: float
    alone_seconds: float


@dataclass(slots=True)
class _Standing:
    """How a candidate fares in this exchange."""

    candidate: int
    prospect: Prospect
    attempts: int = 0
    """Of this budget."""
    not_before: float = -math.inf
    is_out: bool = False
    is_slow: bool = False
    is_under_way: bool = False

    @property
    def may_be_asked(self) -> bool:
        is_free = not self.is_out and not self.is_under_way
        return is_free and self.attempts <= self.prospect.retries


class Plan:
    """The attempts of one exchange: each `next` is followed by `failed` or `let_go`, or is taken.

    Several may be under way until one is taken. With content under way the order is `failed` for
    what broke it off, then `resume`, then `next`.
    """

    def __init__(
        self,
        prospects: Sequence[Prospect],
        *,
        now: float,
        budget_seconds: float,
        jitter: Callable[[], float],
    ) -> None:
        self._standings = [_Standing(place, prospects[place]) for place in first_order(prospects)]
        self._jitter = jitter
        self._attempts = MAX_ATTEMPTS
        self._fruitless = math.inf
        self.renew(now, budget_seconds)

    def renew(self, now: float, budget_seconds: float) -> None:
        """Begin a new budget of time, and nothing else."""
        self._deadline = now + budget_seconds
        self._least = min(MIN_SHARE_SECONDS, budget_seconds / 4)
        self._midstream_backoff = min(MIDSTREAM_BACKOFF_SECONDS, budget_seconds / 8)
        self._last_retry = self._deadline - min(MIN_RETRY_SECONDS, budget_seconds / 2)

    def next(self, now: float) -> Step | None:
        """Whom to ask now, beside those that are under way; None where nobody is left, or no time.

        Of those too many may be under way: ask again when one of them has failed.
        """
        if now >= self._deadline or not self._attempts or not self._fruitless:
            return None
        waiting = [each for each in self._standings if self._is_in_time(each, now)]
        under_way = sum(each.is_under_way for each in self._standings)
        if not waiting or under_way >= MAX_UNDER_WAY:
            return None
        chosen = min(waiting, key=lambda each: _turn(each, now))
        wait = max(0.0, chosen.not_before - now)
        left = self._deadline - now - wait
        alone = min(left, MAX_ALONE_SECONDS, max(MIN_ALONE_SECONDS, left / (3 * len(waiting))))
        self._count(-1)
        chosen.attempts += 1
        chosen.is_under_way = True
        return Step(chosen.candidate, wait, self._share(left, len(waiting)), alone)

    def share(self, now: float) -> float:
        """The time for who has answered to come to something, the others being let go."""
        rivals = 1 + sum(self._is_in_time(each, now) for each in self._standings)
        return self._share(max(0.0, self._deadline - now), rivals)

    def _share(self, left: float, rivals: int) -> float:
        return min(left, max(left / rivals, self._least))

    def let_go(self, candidate: int) -> None:
        """The attempt at this candidate was given up, since another one has answered."""
        self._standing(candidate).is_under_way = False

    def failed(self, candidate: int, error: OriginError, now: float) -> None:
        """The attempt at this candidate, or the content that it was sending, ended in `error`."""
        standing = self._standing(candidate)
        standing.is_under_way = False
        asked_for = error.retry_after_seconds or 0.0
        if isinstance(error, OriginAvoided):
            self._count(+1)
            standing.is_out = asked_for > MAX_BACKOFF_SECONDS and not self._is_in_midstream
        else:
            standing.is_out = not error.may_recover
            standing.is_slow = error.outcome is Outcome.SLOW
        least = self._midstream_backoff if self._is_in_midstream else BACKOFF_SECONDS
        backoff = min(MAX_BACKOFF_SECONDS, least * 2.0 ** (standing.attempts - 1))
        # Nobody comes sooner than was asked for, and not all come in the same moment.
        later = asked_for + self._spread(BACKOFF_SECONDS) if asked_for > 0 else 0.0
        standing.not_before = now + max(self._spread(backoff), later)

    def resume(
        self, candidate: int, now: float, budget_seconds: float, *, is_far: bool = False
    ) -> None:
        """Content broke off at this candidate after it had got further: go on from there.

        A new budget and a new first round begin. Where it got far (`is_far`), this candidate comes
        first in it and at once, and attempts are counted anew: it was worth them. Else it comes
        last, and so it does where it fell silent; a last resort stays one, and who is not to be
        asked again is not. Others that have to wait still have to. An attempt to go on that brings
        no byte is `failed` alone; after `MAX_FRUITLESS` of them the plan is at its end.
        """
        self.renew(now, budget_seconds)
        self._fruitless = MAX_FRUITLESS
        for standing in self._standings:
            standing.attempts = 0
        broken = self._standing(candidate)
        self._attempts = (
            MAX_STRETCH_ATTEMPTS if is_far else min(self._attempts, MAX_STRETCH_ATTEMPTS)
        )
        if is_far:
            broken.not_before = -math.inf
        comes_first = is_far and not broken.is_slow
        self._standings.remove(broken)
        self._standings.insert(0 if comes_first else len(self._standings), broken)

    @property
    def _is_in_midstream(self) -> bool:
        return not math.isinf(self._fruitless)

    def _standing(self, candidate: int) -> _Standing:
        return next(each for each in self._standings if each.candidate == candidate)

    def _count(self, change: int) -> None:
        self._attempts += change
        self._fruitless += change

    def _is_in_time(self, standing: _Standing, now: float) -> bool:
        """Whether this candidate may be asked, and its turn comes early enough."""
        return standing.may_be_asked and standing.not_before <= max(now, self._last_retry)

    def _spread(self, seconds: float) -> float:
        """Between half and all of it, so that exchanges that failed together part."""
        return seconds * (1 + self._jitter()) / 2


def first_order(prospects: Sequence[Prospect]) -> list[int]:
    """The prospects, by their index, in the order of their first attempts."""

    def merit(place: int) -> tuple[bool, bool, int, int]:
        prospect = prospects[place]
        return prospect.is_last_resort, prospect.lags, prospect.priority, prospect.failures

    return sorted(range(len(prospects)), key=merit)


def _turn(standing: _Standing, now: float) -> tuple[bool, bool, float, int]:
    """Who comes first of those that may be asked: a round, within it the soonest.

    Who has to wait is not in the first round, though in mid-stream it may have had no turn yet.
    """
    soonest = max(now, standing.not_before)
    is_later = standing.attempts > 0 or soonest > now
    return is_later, standing.prospect.is_last_resort, soonest, standing.attempts


def candidates(published: PublishedArtifact) -> tuple[RemoteArtifact, ...]:
    """The sources by priority, equal ones as they were stated: the order if all are well."""
    return tuple(sorted(published.sources, key=lambda source: source.priority))


def final_status(failures: Sequence[OriginError]) -> int:
    """The status of an exchange whose attempts all failed; `failures` has one for each.

    Where every origin says that it lacks the content it is 404, else the most hopeful status for
    a client that retries. No attempt at all means that there was no source to try: 502, like a bad
    origin.
    """
    outcomes = {failure.outcome for failure in failures}
    for outcome in Outcome:
        if outcome in outcomes:
            return outcome.value
    return Outcome.BAD.value


def retry_after_seconds(failures: Sequence[OriginError], default: int = RETRY_AFTER_SECONDS) -> int:
    """When a client should come back: as soon as one of the origins may be asked again."""
    asked_for = [
        failure.retry_after_seconds
        for failure in failures
        if failure.retry_after_seconds is not None
    ]
    soonest = min(asked_for, default=float(default))
    return math.ceil(min(MAX_RETRY_AFTER_SECONDS, max(1.0, soonest)))
