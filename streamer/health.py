"""What is remembered of origins from one exchange to the next, and who is left alone for a while.

Shared by all exchanges of a process and separate from `plan`, which knows one of them. It asks
nobody by itself: there are no probes on a timer, an exchange that comes by at the right time is
the probe. Seven memories, each bounded, so that neither origins nor clients make them grow:

- a **breaker** for each origin that failed lately. It opens after several failures in a row that
  speak against the origin as such, and not all in one moment. While it is open nobody asks; after
  its pause one exchange may, the probe, and the others wait for what becomes of it. If the probe
  fails the next pause is twice as long. An answer closes the breaker; all of it is forgotten when
  content has come to its end, because an origin may well send heads and then fall silent, or when
  the origin says that it has none. Of 5xx each content counts once: one that is broken says nothing
  of the others.
- a **rest**, where an origin asked for one with Retry-After.
- a **lag** of an origin that was silent until another one answered or its time was over, or left
  in the middle of content that crawled: it comes after those that have none, for a minute, and
  twice as long each time until it serves something.
- the **rate** at which it sent lately. That is forgotten after a while without news, so that who
  came last for it, and was not asked, gets another chance.
- who **serves**: content came from it to its end lately, so it is given more time to answer before
  others are asked beside it.
- a **quarantine** of an artifact at an origin that sent other content for it, or had a part in it:
  a last resort, with as much **blame** as it was given.
- a short **negative memory** of sources that say 404 or 410, so that one missing file that many
  clients want costs its origin one request, not as many as there are clients.

An origin is known under its importer's id and revision: with another config, or other credentials,
it may do better, and what one tenant finds out is no news for another.

Exchanges that began before a breaker opened report as all others do: an answer closes it. What else
they say changes neither its pause nor the place of the probe, which is known by its inquiry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cachetools import TTLCache
from twisted.logger import Logger

from streamer.breaker import Breaker, Event, State
from streamer.errors import (
    OriginAnsweredOtherwise,
    OriginAvoided,
    OriginCrowded,
    OriginError,
    OriginTimedOut,
)
from streamer.model import Artifact, Digest
from streamer.rates import UNKNOWN, Flow, Rate
from streamer.settings import OriginSettings

MAX_ORIGINS = 10_000
MAX_QUARANTINED = 20_000
MAX_MISSING = 10_000
MAX_REPORTS = 1000

MAX_PAUSE_SECONDS = 60.0
"""Of a breaker, and of a Retry-After: an origin that is back is not left alone for longer."""

LAG_SECONDS = 60.0
MAX_LAG_SECONDS = 1800.0
"""How long an origin that was outrun comes last. Finding out again costs a client the while that
an attempt goes on alone."""

RATE_SECONDS = 600.0
"""How long a rate is known. To find out again that an origin crawls costs one client seconds."""

FORGET_SECONDS = 600.0
"""After so long without another failure an origin is as good as any."""

_log = Logger()


class OriginKey(NamedTuple):
    """What an origin is known under; the importer's name is there for operators."""

    importer: str
    importer_id: int
    revision: int
    origin: str


Place = tuple[OriginKey, str]
"""Where a source's content lies: an origin that has it, and the source's URL."""


@dataclass(frozen=True, slots=True, eq=False)
class Inquiry:
    """Somebody asks an origin for some content; no two are equal, so that a probe is known."""

    key: OriginKey
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OriginReport:
    """What is remembered of an origin, for operators. Times are in seconds, from now or until now.

    The bounds of its rate are None where it is not known.
    """

    importer: str
    importer_id: int
    revision: int
    origin: str
    state: str
    failures: int
    asked_again_in_seconds: float
    last_error: str | None
    changed_seconds_ago: float | None
    quarantined: int
    comes_last_for_seconds: float = 0.0
    at_least_bytes_per_second: int | None = None
    at_most_bytes_per_second: int | None = None

    @property
    def is_ailing(self) -> bool:
        """Whether there is anything against it, which a rate alone is not."""
        is_put_off = self.asked_again_in_seconds > 0 or self.comes_last_for_seconds > 0
        return is_put_off or self.last_error is not None or self.quarantined > 0

    @property
    def key(self) -> OriginKey:
        """What it is known under."""
        return OriginKey(self.importer, self.importer_id, self.revision, self.origin)


class Health:
    """Whether an origin may be asked now. Each call costs microseconds.

    Rule: each `ask` that does not raise is followed by exactly one of `answered`, `failed` and
    `let_go`. After `answered` comes `served`, or `failed` for content that broke off, or nothing
    where its client left. A breaker that is half open has one probe.
    """

    def __init__(
        self, settings: OriginSettings, now: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._now = now
        self._jitter = jitter
        self._breakers: TTLCache[OriginKey, Breaker] = TTLCache(
            MAX_ORIGINS, FORGET_SECONDS + self._longest_pause, timer=now
        )
        self._resting: TTLCache[OriginKey, float] = TTLCache(
            MAX_ORIGINS, MAX_PAUSE_SECONDS, timer=now
        )
        self._lags: TTLCache[OriginKey, tuple[int, float]] = TTLCache(
            MAX_ORIGINS, 2 * MAX_LAG_SECONDS, timer=now
        )
        self._rates: TTLCache[OriginKey, Rate] = TTLCache(MAX_ORIGINS, RATE_SECONDS, timer=now)
        self._serving: TTLCache[OriginKey, bool] = TTLCache(MAX_ORIGINS, FORGET_SECONDS, timer=now)
        self._quarantined: TTLCache[tuple[Digest, OriginKey], int] = TTLCache(
            MAX_QUARANTINED, settings.quarantine_seconds, timer=now
        )
        self._missing: TTLCache[Place, bool] = TTLCache(
            MAX_MISSING, settings.remember_missing_seconds, timer=now
        )

    @property
    def _longest_pause(self) -> float:
        return max(MAX_PAUSE_SECONDS, self._settings.breaker_pause_seconds)

    # -- breaker and rest

    def ask(self, key: OriginKey, content: str) -> Inquiry:
        """Raise `OriginAvoided` where this origin must not be asked now; else it will be.

        `content` tells what it is asked for from whatever else it has.
        """
        now = self._now()
        wait = self._wait_seconds(key, now)
        if wait > 0:
            raise OriginAvoided(wait)
        inquiry = Inquiry(key, content)
        breaker = self._breakers.get(key)
        if breaker is not None and breaker.state is not State.CLOSED:
            breaker.move(Event.ASKED, now, inquiry)
        return inquiry

    def answered(self, inquiry: Inquiry) -> None:
        """The origin's fields arrived, and it has what it was asked for."""
        breaker = self._breakers.get(inquiry.key)
        if breaker is not None and breaker.state is not State.CLOSED:
            breaker.move(Event.ANSWERED, self._now())
            _log_recovery(inquiry.key)

    def served(self, inquiry: Inquiry) -> None:
        """All that was wanted of the content has come."""
        self._forget(inquiry.key)
        self._lags.pop(inquiry.key, None)
        self._serving[inquiry.key] = True

    def failed(self, inquiry: Inquiry, error: OriginError) -> None:
        """The attempt ended in `error`, which need not speak against the origin."""
        if isinstance(error, OriginAnsweredOtherwise) and error.retry_after_seconds is not None:
            self._rest(inquiry.key, error.retry_after_seconds)
        if isinstance(error, OriginCrowded | OriginAvoided):
            self.let_go(inquiry)
        elif error.counts_against:
            if isinstance(error, OriginTimedOut):
                self.outrun(inquiry.key)
            self._count(inquiry, error)
        else:
            self._forget(inquiry.key)

    def let_go(self, inquiry: Inquiry) -> None:
        """The attempt ended without a verdict, as when its client left."""
        breaker = self._breakers.get(inquiry.key)
        if breaker is not None and breaker.probe is inquiry:
            breaker.move(Event.LET_GO, self._now())

    def outrun(self, key: OriginKey) -> None:
        """It was silent until another one answered, or its time was over.

        All who asked it at a time say the same, which counts once.
        """
        if not self.lags(key):
            self._lag(key)
            _log.info(
                "importer {importer}: {origin} comes last for {seconds:.0f} s, as it was silent",
                importer=key.importer,
                origin=key.origin,
                seconds=self._lag_seconds(key),
            )

    def left(self, key: OriginKey) -> None:
        """It sent so slowly that another one went on with its content.

        It does not count for its breaker: it works, its way to us may be narrow, and who comes last
        is asked seldom enough.
        """
        if not self.lags(key):
            self._lag(key)

    def _lag(self, key: OriginKey) -> None:
        self._serving.pop(key, None)
        times, _ = self._lags.get(key, (0, 0.0))
        pause = min(MAX_LAG_SECONDS, LAG_SECONDS * 2.0**times)
        self._lags[key] = times + 1, self._now() + pause

    def lags(self, key: OriginKey) -> bool:
        """Whether one of the two happened lately."""
        return self._lag_seconds(key) > 0

    def _lag_seconds(self, key: OriginKey) -> float:
        return max(0.0, self._lags.get(key, (0, 0.0))[1] - self._now())

    def note_flow(self, key: OriginKey, flow: Flow) -> None:
        """It sent this, of what may be enough to know its rate."""
        if flow.says_something:
            self._rates[key] = self.rate(key).after(flow)

    def rate(self, key: OriginKey) -> Rate:
        """How fast it sent lately."""
        return self._rates.get(key, UNKNOWN)

    def serves(self, key: OriginKey) -> bool:
        """Whether content came from it to its end lately, and nothing spoke against it since."""
        return key in self._serving

    def failures(self, key: OriginKey) -> int:
        """How often in a row it failed lately, in ways that speak against it."""
        breaker = self._breakers.get(key)
        return 0 if breaker is None else breaker.failures

    def _forget(self, key: OriginKey) -> None:
        breaker = self._breakers.pop(key, None)
        if breaker is not None and breaker.state is not State.CLOSED:
            _log_recovery(key)

    def _rest(self, key: OriginKey, seconds: float) -> None:
        until = self._now() + min(MAX_PAUSE_SECONDS, seconds)
        self._resting[key] = max(until, self._resting.get(key, 0.0))

    def _count(self, inquiry: Inquiry, error: OriginError) -> None:
        now = self._now()
        self._serving.pop(inquiry.key, None)
        breaker = self._breakers.get(inquiry.key) or Breaker(changed_at=now)
        breaker.count(inquiry.content, error)
        if breaker.probe is inquiry:
            self._open(breaker, Event.FAILED)
        elif breaker.has_tripped(now, self._settings.breaker_failures):
            self._open(breaker, Event.TRIPPED)
            _log.warn(
                "importer {importer}: {origin} is left alone, as it failed {failures} times in a "
                "row, lately with {error}",
                importer=inquiry.key.importer,
                origin=inquiry.key.origin,
                failures=breaker.failures,
                error=breaker.last_error,
            )
        self._breakers[inquiry.key] = breaker  # anew, as this is when its time begins

    def _open(self, breaker: Breaker, event: Event) -> None:
        """Open for three quarters of the pause at least: origins that failed together part.

        Each pause is twice the last, until all is forgotten.
        """
        now, first = self._now(), self._settings.breaker_pause_seconds
        breaker.move(event, now)
        breaker.pause_seconds = min(2 * breaker.pause_seconds or first, self._longest_pause)
        breaker.open_until = now + breaker.pause_seconds * (3 + self._jitter()) / 4

    def _wait_seconds(self, key: OriginKey, now: float) -> float:
        rest = self._resting.get(key, now) - now
        breaker = self._breakers.get(key)
        return rest if breaker is None else max(rest, breaker.wait_seconds(now))

    # -- what an origin has, and has not

    def quarantine(self, artifact: Artifact, key: OriginKey, blame: int = 1) -> None:
        """The origin sent other content than this artifact, or had a part in it."""
        if not self.is_quarantined(artifact, key):
            _log.warn(
                "importer {importer}: {origin} sent other content than {digest}, or a part of "
                "it, and is asked last for that",
                importer=key.importer,
                origin=key.origin,
                digest=str(artifact.digest),
            )
        self._quarantined[artifact.digest, key] = self.blame(artifact, key) + blame

    def blame(self, artifact: Artifact, key: OriginKey) -> int:
        """How much it was blamed lately for content that was not this artifact."""
        return self._quarantined.get((artifact.digest, key), 0)

    def is_quarantined(self, artifact: Artifact, key: OriginKey) -> bool:
        """Whether it did so lately, and should be asked for it last."""
        return self.blame(artifact, key) > 0

    def note_missing(self, place: Place) -> None:
        """The origin said just now that there is nothing."""
        self._missing[place] = True

    def is_missing(self, place: Place) -> bool:
        """Whether it said so a moment ago."""
        return place in self._missing

    # -- for operators

    def count(self, state: State) -> int:
        """How many origins that failed lately have a breaker in this state."""
        return sum(breaker.state is state for breaker in self._breakers.values())

    def reports(self, only: Iterable[OriginKey] | None = None) -> list[OriginReport]:
        """What is remembered of all origins, or of `only` those, in the order of their keys.

        Nothing speaks against who is not in it. Bounded by `MAX_REPORTS`: who is known by its rate
        alone goes first.
        """
        quarantined = Counter(key for _, key in self._quarantined)
        lagging = [key for key in self._lags if self.lags(key)]
        ailing = {*self._breakers, *self._resting, *quarantined, *lagging}
        known = ailing.union(self._rates)
        keys = known if only is None else known.intersection(only)
        shown = sorted(keys, key=lambda key: (key not in ailing, key))[:MAX_REPORTS]
        return [self._report(key, quarantined[key]) for key in sorted(shown)]

    def sizes(self) -> Mapping[str, Callable[[], int]]:
        """How much is remembered, by kind: for each of the memories a way to ask."""
        return {
            "breakers": self._breakers.__len__,
            "rests": self._resting.__len__,
            "lags": self._lags.__len__,
            "serving": self._serving.__len__,
            "rates": self._rates.__len__,
            "quarantined": self._quarantined.__len__,
            "missing": self._missing.__len__,
        }

    def _report(self, key: OriginKey, quarantined: int) -> OriginReport:
        now, rate = self._now(), self._rates.get(key)
        breaker = self._breakers.get(key)
        return OriginReport(
            *key,
            state=(State.CLOSED if breaker is None else breaker.state).value,
            failures=self.failures(key),
            asked_again_in_seconds=round(max(0.0, self._wait_seconds(key, now)), 3),
            last_error=None if breaker is None else breaker.last_error,
            changed_seconds_ago=None if breaker is None else round(now - breaker.changed_at, 3),
            quarantined=quarantined,
            comes_last_for_seconds=round(self._lag_seconds(key), 3),
            at_least_bytes_per_second=None if rate is None else round(rate.at_least),
            at_most_bytes_per_second=None if rate is None else round(rate.at_most),
        )


def _log_recovery(key: OriginKey) -> None:
    _log.info(
        "importer {importer}: {origin} answers again", importer=key.importer, origin=key.origin
    )
