"""Work on a slot of an importer, and who is to blame where time is over before it is done.

An exchange that runs out of time cancels, and then its origin is blamed. Who has spent most of that
time in a queue here, for a slot or for a turn, has learned nothing of the origin: that is
`OriginCrowded` instead. And what is cancelled is cancelled, whatever the work makes of it: the
look-up of a name, for one, makes an unknown name of it.

Kept apart from `limits`, which lets wait and does not judge, and from the downloaders of several
protocols, which all queue.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from streamer.downloaders.limits import Slot, Slots
from streamer.errors import OriginCrowded, OriginError

T = TypeVar("T")


class Queueing:
    """How long was waited for what is not the origin's to give: a slot, or a turn."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._began_at = clock.seconds()
        self._seconds = 0.0

    @contextmanager
    def going_on(self) -> Iterator[None]:
        began_at = self._clock.seconds()
        try:
            yield
        finally:
            self._seconds += self._clock.seconds() - began_at

    @property
    def was_most(self) -> bool:
        """Whether it took longer than everything else until now."""
        return 2 * self._seconds > self._clock.seconds() - self._began_at


async def on_a_slot(
    slots: Slots, queueing: Queueing, work: Callable[[], Coroutine[Any, Any, T]]
) -> tuple[T, Slot]:
    """What comes of `work`, and the slot that it used, which is the caller's to release.

    Where it fails or is cancelled the slot is released here.
    """
    with queueing.going_on():
        slot = await slots.take()
    try:
        return await _judged(work(), queueing, slots.limit), slot
    except BaseException:
        slot.release()
        raise


async def _judged(work: Coroutine[Any, Any, T], queueing: Queueing, limit: int) -> T:
    running = Deferred.fromCoroutine(work)
    is_cancelled = False

    def cancel(_: object) -> None:
        nonlocal is_cancelled
        is_cancelled = True
        running.cancel()

    outcome: Deferred[T] = Deferred(cancel)
    running.addCallbacks(outcome.callback, outcome.errback)
    try:
        return await outcome
    except (CancelledError, OriginError) as error:
        if not is_cancelled:
            raise
        if queueing.was_most:
            raise OriginCrowded(limit) from error
        raise CancelledError from error
