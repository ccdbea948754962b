"""The pace of both sides: whether a client takes anything at all, and how long an origin takes.

The first is asked of the kernel. Twisted resumes a producer only when the whole user-space buffer
is gone, which at 10 kbit/s takes minutes; a timer on that event would cut every slow but willing
reader. What the peer has acknowledged moves with every segment, so it separates the slow from the
dead. The second is arithmetic, since the pump knows when it waits for an origin and when for a
client.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from streamer.rates import Flow

_TCP_INFO_BYTES_ACKED = 120
"""Offset of tcpi_bytes_acked in Linux's struct tcp_info (since 4.1)."""


def taken_mark(transport: object) -> int | None:
    """A number that changes whenever the peer of `transport` has taken bytes.

    None where the system cannot tell; then only a producer's resumption shows progress.
    """
    connection = _socket(transport)
    if connection is None:
        return None
    try:
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            return int(struct.unpack_from("=Q", info, _TCP_INFO_BYTES_ACKED)[0])
        # A UNIX socket knows only how much is still queued.
        queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        return int(struct.unpack("=i", queued)[0])
    except (OSError, struct.error):
        return None


def _socket(transport: object) -> socket.socket | None:
    """The socket below a transport, TLS wrappers taken off."""
    while (inner := getattr(transport, "transport", None)) is not None:
        transport = inner
    found = getattr(transport, "socket", None)
    return found if isinstance(found, socket.socket) else None


class Alarm:
    """A call in the future that can be put off; at most one is pending."""

    def __init__(self, clock: IReactorTime, seconds: float, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._ring = ring
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Ring after the given time from now, whether or not it was started before."""
        if self._call is not None and self._call.active():
            self._call.reset(self._seconds)
        else:
            self._call = self._clock.callLater(self._seconds, self._ring)

    def restart(self) -> None:
        """Put the alarm off if one is pending."""
        if self._call is not None and self._call.active():
            self._call.reset(self._seconds)

    @property
    def pending_seconds(self) -> float:
        """How long ago it was started or put off last; 0 where none is pending."""
        if self._call is None or not self._call.active():
            return 0.0
        return self._clock.seconds() - (self._call.getTime() - self._seconds)

    def stop(self) -> None:
        """Do not ring."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None


class Patience:
    """Waits for a peer that has bytes to take, and loses patience if it takes none for a time.

    `mark` gives what `taken_mark` says of the peer's transport; it is asked four times within
    `seconds`, so patience ends between one and one and a quarter of them after the last progress.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: float,
        mark: Callable[[], int | None],
        give_up: Callable[[], None],
    ) -> None:
        self._mark = mark
        self._give_up = give_up
        self._last: int | None = None
        self._quarters = 0
        self._alarm = Alarm(clock, seconds / 4, self._look)

    def start(self) -> None:
        """Begin to wait, from now."""
        self._last = self._mark()
        self._quarters = 0
        self._alarm.start()

    def stop(self) -> None:
        """Wait no longer; nothing is given up."""
        self._alarm.stop()

    def _look(self) -> None:
        mark = self._mark()
        if mark is not None and mark != self._last:
            self._last = mark
            self._quarters = 0
        else:
            self._quarters += 1
        if self._quarters < 4:
            self._alarm.start()
        else:
            self._give_up()


class Meter:
    """How long an origin is waited for, and what comes of it: one `Flow` after the other.

    Costs nothing for each chunk; `total_bytes` is asked when a flow is taken.
    """

    def __init__(self, clock: IReactorTime, total_bytes: Callable[[], int]) -> None:
        self._clock = clock
        self._total_bytes = total_bytes
        self._waiting_since: float | None = None
        self._begin()

    def _begin(self) -> None:
        self._began_at = self._clock.seconds()
        self._begun_bytes = self._total_bytes()
        self._waited = 0.0

    def wait(self) -> None:
        """The origin is waited for from now on, and was not since it last was."""
        self._waiting_since = self._clock.seconds()

    def rest(self) -> None:
        """It is not waited for: somebody on our side is."""
        if self._waiting_since is not None:
            self._waited += self._clock.seconds() - self._waiting_since
            self._waiting_since = None

    def excuse(self, seconds: float) -> None:
        """So much of the waiting was for a limit of ours."""
        self._waited -= seconds

    def take(self) -> Flow:
        """What came since the last time, and a new beginning."""
        if is_waiting := self._waiting_since is not None:
            self.rest()
        elapsed = self._clock.seconds() - self._began_at
        received = self._total_bytes() - self._begun_bytes
        flow = Flow(received, max(0.0, self._waited), elapsed)
        self._begin()
        if is_waiting:
            self.wait()
        return flow
