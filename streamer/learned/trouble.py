"""What the log says of a store that does not work, and how long it is then left alone.

Separate because reading and writing fail each by itself and mostly together: two lines about one
server would say no more than one. It refuses to fill the log: trouble that was over within a minute
of the last is not told, and neither is its end; but what is unfit is, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.learned.failures import StoreUnavailable, StoreUnfit

_log = Logger()

Kind = Literal["reading", "writing"]

PAUSE_SECONDS = 5.0
"""Between two tries of what failed. Meanwhile nothing is asked for, so nobody waits."""

QUIET_SECONDS = 60.0


class Trouble:
    """Which of reading and writing fail, and until when that is not tried."""

    def __init__(self, store: object, seconds: Callable[[], float]) -> None:
        self._store = store
        self._seconds = seconds
        self._again_at: dict[Kind, float] = {}
        self._told_at = -QUIET_SECONDS
        self._is_told = False
        self._unfit = ""
        self._is_stopped = False

    @property
    def is_over(self) -> bool:
        """Whether all of it worked the last time."""
        return not self._again_at

    def pauses(self, kind: Kind) -> bool:
        """Whether this failed a moment ago, so that it is not tried yet."""
        return self._seconds() < self._again_at.get(kind, -1.0)

    def failed(self, kind: Kind, error: StoreUnavailable, pause_seconds: float) -> None:
        """It did not work, and is to be tried again after a pause."""
        if self._is_stopped:
            return
        now = self._seconds()
        is_unfit = isinstance(error, StoreUnfit) and str(error) != self._unfit
        if is_unfit:
            self._unfit = str(error)
        if is_unfit or (not self._is_told and now - self._told_at >= QUIET_SECONDS):
            self._is_told, self._told_at = True, now
            _log.warn(
                "the store of pieces, {store}, does not help: {error}; what it knows is learned"
                " anew meanwhile",
                store=str(self._store),
                error=str(error),
            )
        self._again_at[kind] = now + pause_seconds

    def worked(self, kind: Kind) -> None:
        """It works."""
        if self._again_at.pop(kind, None) is not None and self.is_over and self._is_told:
            self._is_told = False
            _log.info("the store of pieces, {store}, works again", store=str(self._store))

    def stop(self) -> None:
        """What fails from now on failed nobody: a thread that hung may end at any time."""
        self._is_stopped = True


def unavailable(failure: Failure) -> StoreUnavailable:
    """What a failure of the store says; one that nobody foresaw goes whole into the log."""
    error = failure.value
    if isinstance(error, StoreUnavailable):
        return error
    _log.failure("the store of pieces failed", failure)
    return StoreUnavailable(type(error).__name__)
