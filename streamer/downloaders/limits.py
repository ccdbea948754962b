"""How much of an origin one importer may use: connections, requests and bytes in a second.

Kept apart from the connections because these only count and wait, on a clock that is passed in;
what is counted, whoever asks has to say. Waiting is first come, first served, and whoever is
cancelled while it waits leaves nothing behind: no place in a queue and no timer.

A token bucket is written as the time at which it is full again: one number, and nothing ticks.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from streamer.errors import OriginCrowded

SLACK_SECONDS = 0.01
"""A pause costs a turn of the reactor: less than this is owed until it is worth one."""


class Slot:
    """The right to use one connection, until it is released."""

    __slots__ = ("_slots",)

    def __init__(self, slots: Slots) -> None:
        self._slots: Slots | None = slots

    def release(self) -> None:
        """Give the right back; a second time does nothing."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots._released()


class Slots:
    """At most `limit` slots are taken at a time, and at most `queue` wait for one.

    A slot is handed on two turns of the reactor after its release. Only then is its connection back
    in Twisted's pool, whoever took the last byte, or closed, if it was given up: what a connection
    has to send before it closes is sent after the timers of the next turn. So `limit` bounds
    connections and not only requests.
    """

    def __init__(self, limit: int, queue: int, clock: IReactorTime) -> None:
        self.limit = limit
        self._queue = queue
        self._clock = clock
        self._taken = 0
        self._waiting: deque[Deferred[None]] = deque()

    async def take(self) -> Slot:
        """Wait for a slot.

        Raises `OriginCrowded` at once where too many wait already, and where the wait is cancelled:
        a deadline has passed, or whoever cancels knows better.
        """
        if self._taken < self.limit:
            self._taken += 1
        elif len(self._waiting) < self._queue:
            waiter: Deferred[None] = Deferred(self._leave)
            self._waiting.append(waiter)
            await waiter
        else:
            raise OriginCrowded(self.limit)
        return Slot(self)

    def _leave(self, waiter: Deferred[None]) -> None:
        self._waiting.remove(waiter)
        waiter.errback(OriginCrowded(self.limit))

    def _released(self) -> None:
        self._clock.callLater(0, self._clock.callLater, 0, self._hand_on)

    def _hand_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().callback(None)
        else:
            self._taken -= 1


class RequestRate:
    """`per_second` requests on average, and those of one second at once after a rest."""

    def __init__(self, per_second: float, clock: IReactorTime) -> None:
        self._interval = 1 / per_second
        # A rate below one in a second still lets one go at once.
        self._burst = max(1.0, self._interval)
        self._clock = clock
        self._full_at = clock.seconds()
        self._waiting: deque[Deferred[None]] = deque()
        self._timer: IDelayedCall | None = None

    async def turn(self) -> None:
        """Wait until a request may go out. Cancelling gives the turn to the next."""
        if not self._waiting and self._wait_seconds() <= 0:
            self._spend()
            return
        waiter: Deferred[None] = Deferred(self._leave)
        self._waiting.append(waiter)
        self._adjust_timer()
        await waiter

    def _wait_seconds(self) -> float:
        """How long until the bucket holds one more request."""
        return self._full_at + self._interval - self._burst - self._clock.seconds()

    def _spend(self) -> None:
        self._full_at = max(self._full_at, self._clock.seconds()) + self._interval

    def _adjust_timer(self) -> None:
        """Have a timer exactly while somebody waits."""
        if self._waiting and self._timer is None:
            self._timer = self._clock.callLater(max(0, self._wait_seconds()), self._serve)
        elif self._timer is not None and not self._waiting:
            self._timer.cancel()
            self._timer = None

    def _serve(self) -> None:
        self._timer = None
        while self._waiting and self._wait_seconds() <= 0:
            self._spend()
            self._waiting.popleft().callback(None)
        self._adjust_timer()

    def _leave(self, waiter: Deferred[None]) -> None:
        self._waiting.remove(waiter)
        self._adjust_timer()


class ByteRate:
    """Bytes per second, over all transfers together; nothing is saved up while none runs."""

    def __init__(self, per_second: float, clock: IReactorTime) -> None:
        self._per_second = per_second
        self._clock = clock
        self._paid_until = clock.seconds()

    def owed_seconds(self, count: int) -> float:
        """Account for `count` bytes that have come, and say how long to take no more of them.

        0 where that would be less than `SLACK_SECONDS`, which stays owed.
        """
        now = self._clock.seconds()
        self._paid_until = max(self._paid_until, now) + count / self._per_second
        owed = self._paid_until - now
        return owed if owed >= SLACK_SECONDS else 0.0
