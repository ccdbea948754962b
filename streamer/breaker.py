"""The state of one origin that failed lately: whether it is asked, by nobody, or by one probe.

Pure: the time is passed in. Separate from `health`, which keeps one for each origin and hears what
exchanges say. What is here decides what counts, when it is too much, and who may ask meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from streamer.errors import OriginAnsweredOtherwise, OriginError

BLIP_SECONDS = 3.0
"""An origin that restarts fails all that are there in one moment; their next attempts find it well.
As long as those last that an exchange makes, before the head or in mid-stream, nobody is kept from
making them."""

PROBE_SECONDS = 1.0
"""What others are told to wait while a probe is under way: an answer takes about that long."""

MAX_PROBE_SECONDS = 60.0
"""Of a probe that never comes back, as where an importer does not end what is cancelled."""

MAX_BROKEN_CONTENTS = 8
"""How many of an origin are known apart, at which it fails."""


class State(Enum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Event(Enum):
    """What changes the state of a breaker."""

    TRIPPED = "as many failures in a row as are allowed, and more than a blip"
    ASKED = "somebody asks after the pause, and becomes the probe"
    ANSWERED = "the probe, or somebody from before, got an answer"
    FAILED = "the probe failed"
    LET_GO = "the probe ended without a verdict"


TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.CLOSED, Event.TRIPPED): State.OPEN,
        (State.OPEN, Event.ASKED): State.HALF_OPEN,
        (State.OPEN, Event.ANSWERED): State.CLOSED,
        (State.HALF_OPEN, Event.ASKED): State.HALF_OPEN,
        (State.HALF_OPEN, Event.ANSWERED): State.CLOSED,
        (State.HALF_OPEN, Event.FAILED): State.OPEN,
        (State.HALF_OPEN, Event.LET_GO): State.OPEN,
    }
)
"""All there are. Who asks while it is half open is the next probe, as the last one is lost."""


@dataclass(slots=True)
class Breaker:
    """Of one origin; it exists from its first failure until content comes to its end."""

    changed_at: float
    state: State = State.CLOSED
    failures: int = 0
    pause_seconds: float = 0.0
    open_until: float = 0.0
    last_error: str = ""
    probe: object = None
    broken_contents: set[int] = field(default_factory=set)

    def move(self, event: Event, now: float, probe: object = None) -> None:
        """Change the state as the table says."""
        self.state = TRANSITIONS[self.state, event]
        self.changed_at = now
        self.probe = probe

    def wait_seconds(self, now: float) -> float:
        """How long it keeps everybody away; nothing or less where it does not."""
        if self.state is State.OPEN:
            return self.open_until - now
        is_probed = self.state is State.HALF_OPEN and now < self.changed_at + MAX_PROBE_SECONDS
        return PROBE_SECONDS if is_probed else 0.0

    def has_tripped(self, now: float, allowed: int) -> bool:
        """Whether it is to open, as it has failed so often, and for so long."""
        is_blip = now < self.changed_at + BLIP_SECONDS
        return self.state is State.CLOSED and 0 < allowed <= self.failures and not is_blip

    def count(self, content: str, error: OriginError) -> None:
        """One more failure; but an answer of 5xx counts once for each content."""
        self.last_error = type(error).__name__
        if isinstance(error, OriginAnsweredOtherwise):
            known, content_hash = self.broken_contents, hash(content)
            if content_hash in known:
                return
            if len(known) < MAX_BROKEN_CONTENTS:
                known.add(content_hash)
        self.failures += 1
