"""How fast an origin sends, as far as that can be said without asking it for anything.

Pure: whoever moves content counts it and tells (`fetch`), whoever remembers it decides for how long
(`health`). What counts is what came while the *origin* was waited for. A client that reads slowly
and an importer's own limit make content wait on our side, and they must never make an origin look
slow.

So a rate is two bounds. The origin sends at least what came, by the time of day, and at most what
would have come had it been waited for all the time. Where nobody held it back the two are the same;
where a client did, the first says little and the second nothing, and neither says a wrong thing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TELLING_BYTES = 1024**2
TELLING_SECONDS = 2.0
"""What it takes to say something: less than both of these is mostly the way there and back."""

LEAST_SECONDS = 0.001
"""No content takes less, whatever a clock says."""

FAR = 4
"""As many times slower is far slower: more than the same origin varies by from one file to the
next."""

WORTH = 2
"""As many times faster is worth a request."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Bounds of what an origin sends, in bytes per second; as made, nothing is known."""

    at_least: float = 0.0
    at_most: float = math.inf

    def is_far_below(self, best: float) -> bool:
        """Whether it is far slower than one that sends at least so many bytes per second."""
        return self.at_most * FAR < best

    def may_exceed(self, other: Rate) -> bool:
        """Whether it may be so much faster that it is worth asking; not known means that it may."""
        return self.at_most > other.at_most * WORTH

    def after(self, flow: Flow) -> Rate:
        """What is known when this has come too: half of it new, in times and not in bytes.

        So three slow stretches make a fast origin slow, and three fast ones a slow one fast.
        """
        if not flow.says_something:
            return self
        new = flow.rate
        if math.isinf(self.at_most):
            return new
        at_most = math.sqrt(self.at_most * new.at_most)
        at_least = math.sqrt(self.at_least * new.at_least)
        if flow.was_held_back:
            # The client's pace is no news of what the origin can do, unless it is more.
            at_least = max(at_least, self.at_least)
        return Rate(min(at_least, at_most), at_most)


UNKNOWN = Rate()


@dataclass(frozen=True, slots=True)
class Flow:
    """A stretch of one download: what came in how long, and how long the origin was waited for."""

    received_bytes: int
    waited_seconds: float
    elapsed_seconds: float

    @property
    def rate(self) -> Rate:
        """The bounds that it gives; of silence too they are more than nothing, as means need."""
        received = max(1, self.received_bytes)
        waited = max(LEAST_SECONDS, self.waited_seconds)
        return Rate(received / max(waited, self.elapsed_seconds), received / waited)

    @property
    def was_held_back(self) -> bool:
        """Whether most of the time it was not the origin that was waited for."""
        return self.waited_seconds < self.elapsed_seconds / 2

    @property
    def says_something(self) -> bool:
        """Whether it is enough to know a rate by."""
        return self.received_bytes >= TELLING_BYTES or self.waited_seconds >= TELLING_SECONDS

    def crawls(self, slow_bytes: float) -> bool:
        """Whether less came in each second than that, by the origin's fault alone."""
        is_known = self.waited_seconds >= TELLING_SECONDS and not self.was_held_back
        return is_known and self.rate.at_most < slow_bytes
