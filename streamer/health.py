"""What is remembered of origins from one exchange to the next, and who is left alone for a while.

Shared by all exchanges of a process and separate from `plan`, which knows one of them. It asks
nobody by itself: there are no probes on a timer, an exchange that comes by at the right time is
the probe. Four memories, each bounded, so that neither origins nor clients make them grow:

- a **breaker** for each origin that failed lately. It opens after several failures in a row that
  speak against the origin as such. While it is open nobody asks; after its pause one exchange may,
  the probe, and the others wait for what becomes of it. If the probe fails the next pause is twice
  as long; any answer closes the breaker and forgets all of it.
- a **rest**, where an origin asked for one with Retry-After.
- a **quarantine** of an artifact at an origin that sent other content for it: a last resort.
- a short **negative memory** of sources that say 404 or 410, so that one missing file that many
  clients want costs its origin one request, not as many as there are clients.

An origin is known under its importer's id and revision: with another config, or other credentials,
it may do better, and what one tenant finds out is no news for another.

Exchanges that began before a breaker opened report as all others do, and what they say counts the
same: an answer closes it, a failure while it is open changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from cachetools import TTLCache

from streamer.errors import OriginAnsweredOtherwise, OriginAvoided, OriginCrowded, OriginError
from streamer.model import Artifact, Digest, RemoteArtifact
from streamer.settings import OriginSettings

OriginKey = tuple[int, int, str]
"""An importer's id and revision, and `Downloader.origin`."""

MAX_ORIGINS = 10_000
MAX_QUARANTINED = 20_000
MAX_MISSING = 10_000
MAX_REPORTS = 1000

MAX_PAUSE_SECONDS = 60.0
"""Of a breaker, and of a Retry-After: an origin that is back is not left alone for longer."""

PROBE_SECONDS = 1.0
"""What others are told to wait while a probe is under way: an answer takes about that long."""

FORGET_SECONDS = 600.0
"""After so long without another failure an origin is as good as any."""


class State(Enum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Event(Enum):
    """What changes the state of a breaker, but for an answer, which closes and forgets any."""

    TRIPPED = "as many failures in a row as are allowed"
    ASKED = "somebody asks after the pause, and becomes the probe"
    FAILED = "the probe failed"
    LET_GO = "the probe ended without a verdict"


TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.CLOSED, Event.TRIPPED): State.OPEN,
        (State.OPEN, Event.ASKED): State.HALF_OPEN,
        (State.HALF_OPEN, Event.FAILED): State.OPEN,
        (State.HALF_OPEN, Event.LET_GO): State.OPEN,
    }
)
"""All there are."""


@dataclass(frozen=True, slots=True)
class OriginReport:
    """An origin that failed lately, for operators. Times are in seconds from now and until now."""

    importer_id: int
    revision: int
    origin: str
    state: str
    failures: int
    asked_again_in_seconds: float
    last_error: str | None
    changed_seconds_ago: float | None
    quarantined: int


@dataclass(slots=True)
class _Breaker:
    """Of one origin; it exists as long as the last that was heard of it is a failure."""

    changed_at: float
    state: State = State.CLOSED
    failures: int = 0
    pause_seconds: float = 0.0
    open_until: float = 0.0
    last_error: str = ""

    def move(self, event: Event, now: float) -> None:
        """Change the state as the table says."""
        self.state = TRANSITIONS[self.state, event]
        self.changed_at = now

    def wait_seconds(self, now: float) -> float:
        """How long it keeps everybody away; nothing or less where it does not."""
        if self.state is State.OPEN:
            return self.open_until - now
        return PROBE_SECONDS if self.state is State.HALF_OPEN else 0.0


class Health:
    """Whether an origin may be asked now. Each call costs microseconds.

    Rule: each `ask` that does not raise is followed by exactly one of `answered`, `failed` and
    `let_go`, and a breaker that is half open has let one `ask` through since it was open.
    """

    def __init__(
        self, settings: OriginSettings, now: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._now = now
        self._jitter = jitter
        self._breakers: TTLCache[OriginKey, _Breaker] = TTLCache(
            MAX_ORIGINS, FORGET_SECONDS + self._longest_pause, timer=now
        )
        self._resting: TTLCache[OriginKey, float] = TTLCache(
            MAX_ORIGINS, MAX_PAUSE_SECONDS, timer=now
        )
        self._quarantined: TTLCache[tuple[Digest, OriginKey], bool] = TTLCache(
            MAX_QUARANTINED, settings.quarantine_seconds, timer=now
        )
        self._missing: TTLCache[tuple[int, int, str], bool] = TTLCache(
            MAX_MISSING, settings.remember_missing_seconds, timer=now
        )

    @property
    def _longest_pause(self) -> float:
        return max(MAX_PAUSE_SECONDS, self._settings.breaker_pause_seconds)

    # -- breaker and rest

    def ask(self, key: OriginKey) -> None:
        """Raise `OriginAvoided` where this origin must not be asked now; else it will be."""
        now = self._now()
        wait = self._wait_seconds(key, now)
        if wait > 0:
            raise OriginAvoided(wait)
        breaker = self._breakers.get(key)
        if breaker is not None and breaker.state is State.OPEN:
            breaker.move(Event.ASKED, now)

    def answered(self, key: OriginKey) -> None:
        """The origin's fields arrived, and it has what it was asked for."""
        self._breakers.pop(key, None)

    def failed(self, key: OriginKey, error: OriginError) -> None:
        """The attempt ended in `error`, which need not speak against the origin.

        Content that breaks off later may be told too, though `answered` came before.
        """
        if isinstance(error, OriginAnsweredOtherwise) and error.retry_after_seconds is not None:
            rest = min(MAX_PAUSE_SECONDS, error.retry_after_seconds)
            self._resting[key] = max(self._now() + rest, self._resting.get(key, 0.0))
        if isinstance(error, OriginCrowded | OriginAvoided):
            self.let_go(key)
        elif error.counts_against:
            self._count(key, type(error).__name__)
        else:
            self.answered(key)

    def let_go(self, key: OriginKey) -> None:
        """The attempt ended without a verdict, as when its client left."""
        breaker = self._breakers.get(key)
        if breaker is not None and breaker.state is State.HALF_OPEN:
            breaker.move(Event.LET_GO, self._now())

    def failures(self, key: OriginKey) -> int:
        """How often in a row it failed lately, in ways that speak against it."""
        breaker = self._breakers.get(key)
        return 0 if breaker is None else breaker.failures

    def _count(self, key: OriginKey, error_name: str) -> None:
        now, allowed = self._now(), self._settings.breaker_failures
        breaker = self._breakers.get(key) or _Breaker(changed_at=now)
        breaker.failures += 1
        breaker.last_error = error_name
        if breaker.state is State.HALF_OPEN:
            self._open(breaker, Event.FAILED, min(2 * breaker.pause_seconds, self._longest_pause))
        elif breaker.state is State.CLOSED and 0 < allowed <= breaker.failures:
            self._open(breaker, Event.TRIPPED, self._settings.breaker_pause_seconds)
        self._breakers[key] = breaker  # anew, as this is when its time begins

    def _open(self, breaker: _Breaker, event: Event, pause_seconds: float) -> None:
        """Open for three quarters of the pause at least: origins that failed together part."""
        now = self._now()
        breaker.move(event, now)
        breaker.pause_seconds = pause_seconds
        breaker.open_until = now + pause_seconds * (3 + self._jitter()) / 4

    def _wait_seconds(self, key: OriginKey, now: float) -> float:
        rest = self._resting.get(key, now) - now
        breaker = self._breakers.get(key)
        return rest if breaker is None else max(rest, breaker.wait_seconds(now))

    # -- what an origin has, and has not

    def quarantine(self, artifact: Artifact, key: OriginKey) -> None:
        """The origin sent other content than this artifact."""
        self._quarantined[artifact.digest, key] = True

    def is_quarantined(self, artifact: Artifact, key: OriginKey) -> bool:
        """Whether it did so lately, and should be asked for it last."""
        return (artifact.digest, key) in self._quarantined

    def note_missing(self, source: RemoteArtifact) -> None:
        """The origin said just now that there is nothing at the source's URL."""
        self._missing[_place(source)] = True

    def is_missing(self, source: RemoteArtifact) -> bool:
        """Whether it said so a moment ago."""
        return _place(source) in self._missing

    # -- for operators

    def count(self, state: State) -> int:
        """How many origins that failed lately have a breaker in this state."""
        return sum(breaker.state is state for breaker in self._breakers.values())

    def reports(self) -> list[OriginReport]:
        """What is remembered of origins, in the order of their keys; bounded by `MAX_REPORTS`.

        Whoever is not in it is well, as far as anybody knows.
        """
        quarantined = Counter(key for _, key in self._quarantined)
        keys = sorted({*self._breakers, *self._resting, *quarantined})
        return [self._report(key, quarantined[key]) for key in keys[:MAX_REPORTS]]

    def _report(self, key: OriginKey, quarantined: int) -> OriginReport:
        now = self._now()
        breaker = self._breakers.get(key)
        return OriginReport(
            *key,
            state=(State.CLOSED if breaker is None else breaker.state).value,
            failures=self.failures(key),
            asked_again_in_seconds=round(max(0.0, self._wait_seconds(key, now)), 3),
            last_error=None if breaker is None else breaker.last_error,
            changed_seconds_ago=None if breaker is None else round(now - breaker.changed_at, 3),
            quarantined=quarantined,
        )


def _place(source: RemoteArtifact) -> tuple[int, int, str]:
    return source.importer.id, source.importer.revision, source.url
