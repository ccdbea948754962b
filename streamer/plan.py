"""Which origin is asked next, for how long, and what a client is told when none could serve.

Pure: the time is passed in and randomness too, so that every decision can be tried in a test. It
knows no origin, only what speaks for and against each *prospect*; who asks them, and what is
remembered of them from one exchange to the next, is decided elsewhere (`delivery`, `health`).

Strategy. The candidates are the entry's own sources, never another entry's. A plan goes through
them in rounds, within one budget of time for the first byte, waits included:

- **First round**: each candidate once. Last resorts come last, the one with the most blame behind
  the others, and before them those that lag, because they were silent lately; then priority
  decides, then who failed least often lately, then the order in which they were stated. Of those
  that are equal but for that, who is known to send far slower than another candidate comes after
  the others; who is not known is not slow. The next one is asked when one has failed, and, if its
  rank is no worse, beside it when it has not answered for a while: 2 s where it served lately, else
  the less the more there are, since many of a list of mirrors may be silent. Who answers first is
  taken. An attempt gets a fair share of what is left, as it may hold the connection that the next
  one needs; the last one gets all of it.
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

Content that comes far too slowly is left in the middle, but not before another one has opened the
rest of it (`relief`): a few of those are asked that are not known to be as slow. Who was left comes
first where the other one breaks off (`take_over`), so that nobody is worse off for it.

Content that breaks off in the middle begins a new budget and a new first round (`resume`): where
it broke comes first, because most breaks are those of one connection; where it fell silent,
brought hardly anything, or sent what is doubted, comes last. It ends when three attempts in a row
brought nothing, because a client that sees a break soon can go elsewhere soon.

Whatever happens, an exchange makes `MAX_ATTEMPTS` at most, and `MAX_STRETCH_ATTEMPTS` more for each
stretch of content that is worth them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from streamer.errors import OriginAvoided, OriginError, Outcome
from streamer.fields import RETRY_AFTER_SECONDS
from streamer.model import PublishedArtifact, RemoteArtifact
from streamer.rates import UNKNOWN, Rate

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

MAX_RELIEF_ATTEMPTS = 3
"""Attempts, each at another candidate, to find somebody who goes on with content that crawls."""

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
    serves: bool = False
    blame: int = 0
    rate: Rate = UNKNOWN

    @property
    def rank(self) -> tuple[bool, int]:
        """What only a failure outweighs: whether it sent other content, and the operator's wish."""
        return self.is_last_resort, self.priority

    @property
    def is_last_resort(self) -> bool:
        """Whether other content came of it lately, by its fault or by another one's."""
        return self.blame > 0


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
    precedence: int = 0
    """What its content was worth: the lower, the sooner it is asked, whatever else is known."""
    is_out: bool = False
    comes_last: bool = False
    """Where content breaks off here: it was silent, or is under suspicion."""
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

    def learn(self, prospects: Sequence[Prospect]) -> None:
        """What is known by now of all candidates; those that are new come last in the list.

        The first round is in the order that follows from it. How they fared in this exchange stays,
        and so does the precedence of those that sent content.
        """
        standings = {each.candidate: each for each in self._standings}
        self._standings = []
        for place in first_order(prospects):
            standing = standings.get(place) or _Standing(place, prospects[place])
            standing.prospect = prospects[place]
            self._standings.append(standing)
        self._standings.sort(key=_precedence)

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
        if now >= self._deadline or not self._attempts or self._fruitless <= 0:
            return None
        waiting = [each for each in self._standings if self._is_in_time(each, now)]
        under_way = [each for each in self._standings if each.is_under_way]
        allowed = [each for each in waiting if _may_be_beside(each, under_way)]
        if not allowed or len(under_way) >= MAX_UNDER_WAY:
            return None
        chosen = min(allowed, key=lambda each: _turn(each, now))
        wait = max(0.0, chosen.not_before - now)
        left = self._deadline - now - wait
        rivals = _rivals(chosen, waiting)
        # Who served lately is worth waiting for; of strangers many may be silent.
        alone = math.inf if chosen.prospect.serves else left / (3 * rivals)
        alone = min(left, MAX_ALONE_SECONDS, max(MIN_ALONE_SECONDS, alone))
        self._attempts -= 1
        chosen.attempts += 1
        chosen.is_under_way = True
        return Step(chosen.candidate, wait, self._share(left, rivals), alone)

    def share(self, now: float) -> float:
        """The time for who has answered to come to something, the others being let go."""
        rivals = 1 + sum(self._is_in_time(each, now) for each in self._standings)
        return self._share(max(0.0, self._deadline - now), rivals)

    def _share(self, left: float, rivals: int) -> float:
        return min(left, max(left / rivals, self._least))

    def let_go(self, candidate: int) -> None:
        """The attempt at this candidate was given up, since another one has answered, or put off.

        It says nothing against the candidate, which may be asked as often as before.
        """
        standing = self._standing(candidate)
        standing.is_under_way = False
        standing.attempts = max(0, standing.attempts - 1)

    def failed(self, candidate: int, error: OriginError, now: float) -> None:
        """The attempt at this candidate, or the content that it was sending, ended in `error`."""
        standing = self._standing(candidate)
        standing.is_under_way = False
        asked_for = error.retry_after_seconds or 0.0
        if isinstance(error, OriginAvoided):
            self._attempts += 1
            standing.is_out = asked_for > MAX_BACKOFF_SECONDS and not self._is_in_midstream
        else:
            self._fruitless -= 1
            standing.is_out = not error.may_recover
            standing.comes_last = error.outcome is Outcome.SLOW or error.is_suspicion
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
        last, and so it does where it fell silent or is under suspicion; a last resort stays one,
        and who is not to be asked again is not. Others that have to wait still have to. An attempt
        to go on that brings no byte is `failed` alone; after `MAX_FRUITLESS` of them the plan is at
        its end.
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
        comes_first = is_far and not broken.comes_last
        all_of_them = [each.precedence for each in self._standings]
        broken.precedence = min(all_of_them) - 1 if comes_first else max(all_of_them) + 1
        self._standings.sort(key=_precedence)

    def relief(
        self,
        serving: int,
        rate: Rate,
        prospects: Sequence[Prospect],
        now: float,
        budget_seconds: float,
    ) -> Plan | None:
        """A plan for a part of the others to be asked while `serving` crawls on at this rate.

        Each once, and `MAX_RELIEF_ATTEMPTS` in all. Nobody who is out, or a last resort, or known
        to be no better; None where that leaves nobody. This plan learns nothing of it.
        """
        plan = Plan(
            [replace(each, retries=0) for each in prospects],
            now=now,
            budget_seconds=budget_seconds,
            jitter=self._jitter,
        )
        out = {each.candidate for each in self._standings if each.is_out} | {serving}
        plan._attempts = MAX_RELIEF_ATTEMPTS
        plan._standings = [
            each
            for each in plan._standings
            if each.candidate not in out
            and not each.prospect.is_last_resort
            and each.prospect.rate.may_exceed(rate)
        ]
        return plan if plan._standings else None

    def take_over(self, left: int, taken: int, now: float, budget_seconds: float) -> None:
        """The content goes on at `taken`; if that fails `left`, where it crawled, is there.

        It comes first then, before others can use up the patience of an exchange that it served.
        """
        crawling = self._standing(left)
        crawling.is_under_way = crawling.comes_last = False
        self.resume(left, now, budget_seconds, is_far=True)
        self._standing(taken).is_under_way = True

    @property
    def _is_in_midstream(self) -> bool:
        return not math.isinf(self._fruitless)

    def _standing(self, candidate: int) -> _Standing:
        return next(each for each in self._standings if each.candidate == candidate)

    def _is_in_time(self, standing: _Standing, now: float) -> bool:
        """Whether this candidate may be asked, and its turn comes early enough."""
        return standing.may_be_asked and standing.not_before <= max(now, self._last_retry)

    def _spread(self, seconds: float) -> float:
        """Between half and all of it, so that exchanges that failed together part."""
        return seconds * (1 + self._jitter()) / 2


def first_order(prospects: Sequence[Prospect]) -> list[int]:
    """The prospects, by their index, in the order of their first attempts."""
    best = max((each.rate.at_least for each in prospects), default=0.0)

    def merit(place: int) -> tuple[int, bool, int, int, bool]:
        each = prospects[place]
        is_slow = each.rate.is_far_below(best)
        return each.blame, each.lags, each.priority, each.failures, is_slow

    return sorted(range(len(prospects)), key=merit)


def _precedence(standing: _Standing) -> int:
    return standing.precedence


def _turn(standing: _Standing, now: float) -> tuple[bool, int, float, int]:
    """Who comes first of those that may be asked: a round, within it the soonest.

    Who has to wait is not in the first round, though in mid-stream it may have had no turn yet.
    """
    soonest = max(now, standing.not_before)
    is_later = standing.attempts > 0 or soonest > now
    return is_later, standing.prospect.blame, soonest, standing.attempts


def _may_be_beside(standing: _Standing, others: Iterable[_Standing]) -> bool:
    """Whether it may be asked while these others are: nobody beside one of a better rank.

    Who is slow has not failed: a priority holds until it has. A last resort would answer before a
    good one that is slow, and is likely to send wrong content.
    """
    return all(standing.prospect.rank <= each.prospect.rank for each in others)


def _rivals(standing: _Standing, waiting: Sequence[_Standing]) -> int:
    """Among how many time is shared: those of this rank, and all of lower ranks as one."""
    rank = standing.prospect.rank
    lower = sum(each.prospect.rank > rank for each in waiting)
    return len(waiting) - lower + min(lower, 1)


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
