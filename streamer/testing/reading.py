"""A sink that compares: what comes with what should come, and when it comes with when it may.

A sink never raises, so what it finds is kept as sentences until the check that reads asks for them.
It keeps no content, because checks of memory read through it too.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from streamer.errors import OriginError
from streamer.interfaces import Download
from streamer.testing.subject import Session, require


def _do_nothing() -> None:
    return None


class Reading:
    """One download, read; its content should be `expected`.

    `on_first` is called within the call that brings the first bytes, `on_content` within every call
    that brings some, and `on_end` within the last call: that is when the service pauses and stops.
    """

    def __init__(self, session: Session, download: Download, expected: bytes) -> None:
        self.download = download
        self.received_bytes = 0
        self.first_byte_count = 0
        """How many bytes the first call brought."""
        self.begun: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.on_first: Callable[[], None] = _do_nothing
        self.on_content: Callable[[], None] = _do_nothing
        self.on_end: Callable[[], None] = _do_nothing
        self.is_ended = False
        self._subject = session.subject
        self._expected = memoryview(expected)
        self._error: OriginError | None = None
        self._is_stopped = False
        self._faults: list[str] = []

    # -- what a check does

    def begin(self) -> None:
        """Let the content flow."""
        self.download.deliver(self)

    def stop(self) -> None:
        """Stop the download; from here on any call is a fault."""
        self._is_stopped = True
        self.download.stop()

    async def first_bytes(self) -> None:
        """Wait for them, and for the call that brought them to return."""
        await self._subject.in_time(self.begun, "no content came")
        await self._subject.turns(1)

    async def whole(self) -> None:
        """Wait for the end: all that is expected has come, and nothing else has."""
        error = await self.end()
        require(error is None, f"the content broke off: {error}")
        count, expected = self.received_bytes, len(self._expected)
        require(count == expected, f"the content has {count} bytes and should have {expected}")

    async def end(self) -> OriginError | None:
        """Wait for the end, however it comes."""
        await self._subject.in_time(self.ended, "the content did not end")
        self.check()
        return self._error

    def check(self) -> None:
        """Raise the first fault that was found."""
        require(not self._faults, "; ".join(self._faults[:1]))

    # -- the sink

    def content_received(self, chunk: bytes) -> None:
        self._check_call("content")
        first = self.received_bytes
        self.received_bytes += len(chunk)
        if self._expected[first : self.received_bytes] != chunk:
            self._faults.append(f"the content is wrong somewhere from byte {first} on")
        if chunk and not self.begun.called:
            self.first_byte_count = len(chunk)
            self.on_first()
            self.begun.callback(None)
        if not self._is_stopped:
            self.on_content()

    def content_ended(self, error: OriginError | None) -> None:
        self._check_call("the last word")
        said: object = error
        if not isinstance(said, OriginError | None):
            self._faults.append(f"the content ended in {type(error).__name__}, no OriginError")
        if not self.is_ended:
            self.is_ended = True
            self._error = error
            self.on_end()
            self.ended.callback(None)

    def _check_call(self, what: str) -> None:
        if self._is_stopped:
            self._faults.append(f"{what} came after stop")
        elif self.is_ended:
            self._faults.append(f"{what} came after the last word")
