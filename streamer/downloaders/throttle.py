"""Holds one transfer back for as long as its importer's limit of bytes says.

The limit itself is `limits.ByteRate`, which counts for all transfers together. What is held back is
not silent for a fault of its origin, so while it lasts a sign of life is given now and then.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from streamer.downloaders.limits import ByteRate

SIGN_OF_LIFE_SECONDS = 1
"""How often one is given; far below any time limit on silence."""


class Throttle:
    """Counts what has come of one transfer; while `holds` is true nothing more is to be taken.

    After each change to false `go_on` is called.
    """

    def __init__(
        self,
        rate: ByteRate | None,
        clock: IReactorTime,
        sign_of_life: Callable[[], None],
        go_on: Callable[[], None],
    ) -> None:
        """`sign_of_life` may end the transfer, and so `stop` this."""
        self._rate = rate
        self._clock = clock
        self._sign_of_life = sign_of_life
        self._go_on = go_on
        self._held_seconds = 0.0
        self._waking: IDelayedCall | None = None
        self._is_stopped = False

    @property
    def holds(self) -> bool:
        return self._waking is not None

    def account(self, count: int) -> None:
        """Say that `count` bytes have come."""
        if self._rate is None or self._is_stopped:
            return
        self._held_seconds = self._rate.owed_seconds(count)
        if self._held_seconds > 0 and self._waking is None:
            self._wait()

    def stop(self) -> None:
        """Leave no timer and call nobody any more."""
        self._is_stopped = True
        waking, self._waking = self._waking, None
        if waking is not None and waking.active():
            waking.cancel()

    def _wait(self) -> None:
        step = min(self._held_seconds, SIGN_OF_LIFE_SECONDS)
        self._held_seconds -= step
        self._waking = self._clock.callLater(step, self._wake)

    def _wake(self) -> None:
        self._waking = None
        self._sign_of_life()
        if self._is_stopped:
            return
        if self._held_seconds > 0:
            self._wait()
        else:
            self._go_on()
