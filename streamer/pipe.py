"""The second half of the pump: one client's response as the reader of a `fetch`.

While the response is BEFORE_HEAD (see `response`), a failure is raised and the exchange may try
another origin or answer with a status. Afterwards what the fetch could not resume breaks the
connection: what a client gets is complete and right, or visibly neither.

The reader, not the origin's transport, is the response's producer. Exactly one of two clocks runs:
the origin's silence while content flows, the client's stall while it is paused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from streamer.errors import ClientStalled, LengthUnknown
from streamer.fetch import Fetch
from streamer.pace import Patience
from streamer.partial_content import Cut
from streamer.response import Phase, Response
from streamer.verify import TAIL_BYTES, HeldTail


async def _at_once() -> None:
    """Let the end of a response go out as soon as it is verified."""


@implementer(IPushProducer)
class ResponseReader:
    """One client's response as a reader: its head, what is cut for it, its held tail, its pace.

    What comes of small content is held whole, so its head goes out after its last byte was
    verified. Large content of known size gets its head at once and keeps back the last bytes of
    what is cut from it. Content of unknown size is treated as small until it has proved not to be.
    When all is verified, `may_end` is asked before the rest goes out; it may take its time or raise
    a `StreamerError`.
    """

    def __init__(
        self,
        response: Response,
        cut: Cut,
        send_head: Callable[[int | None], None],
        *,
        is_large: bool,
        may_end: Callable[[], Awaitable[None]] = _at_once,
        clock: IReactorTime,
        small_bytes: int,
        stall_seconds: float,
    ) -> None:
        self._response = response
        self._cut = cut
        self._send_head = send_head
        self._is_large = is_large
        self._may_end = may_end
        # Frames between parts may make more of small content than `small_bytes`.
        held_bytes = small_bytes if cut.length is None else cut.length
        self._tail = HeldTail(cut.length, TAIL_BYTES if is_large else held_bytes)
        self._fetch: Fetch | None = None
        self._stall_seconds = stall_seconds
        self._patience = Patience(clock, stall_seconds, response.taken_mark, self._give_up)
        self._drained: Deferred[None] | None = None
        self._paused = False
        self._was_held_whole = False

    @property
    def was_held_whole(self) -> bool:
        """Whether the content was verified before any of it was sent."""
        return self._was_held_whole

    def attach(self, fetch: Fetch) -> None:
        self._fetch = fetch
        if self._is_large:
            self._begin(self._cut.length)

    def take(self, content: bytes) -> None:
        passed = [free for piece in self._cut.push(content) for free in self._tail.push(piece)]
        if passed and self._response.phase is Phase.BEFORE_HEAD:
            if not self._response.can_show_truncation:
                raise LengthUnknown
            self._begin(None)
        for piece in passed:
            self._response.write(piece)

    async def complete(self) -> None:
        await self._may_end()
        self._was_held_whole = self._response.phase is Phase.BEFORE_HEAD
        length = self._cut.length
        self._begin(self._tail.held_bytes if length is None else length)
        for piece in self._tail.release():
            self._response.write(piece)
        if self._paused:
            # Ending now would hand what is still queued to the idle time-out of the connection.
            self._drained = Deferred()
            self._patience.start()
            await self._drained
        self._response.end()

    def detach(self) -> None:
        self._patience.stop()
        self._fetch = None

    def _begin(self, length: int | None) -> None:
        """Send the head if it is not sent; `length` is what can be said of the whole content."""
        if self._response.phase is Phase.BEFORE_HEAD:
            self._send_head(length)
            self._response.start_producing(self)

    # IPushProducer, called by the client's connection

    def pauseProducing(self) -> None:
        if not self._paused:
            self._paused = True
            self._patience.start()
        if self._fetch is not None:
            self._fetch.pause()

    def resumeProducing(self) -> None:
        self._paused = False
        self._patience.stop()
        if self._fetch is not None:
            self._fetch.resume()
        if self._drained is not None and not self._drained.called:
            self._drained.callback(None)

    def stopProducing(self) -> None:
        """The connection is lost; the exchange hears of it and cancels the fetch."""

    def _give_up(self) -> None:
        error = ClientStalled(self._stall_seconds)
        if self._drained is not None and not self._drained.called:
            self._drained.errback(error)
        elif self._fetch is not None:
            self._fetch.fail(error)


async def pipe(fetch: Fetch, response: Response) -> None:
    """Run a fetch into a response; whatever goes wrong after the head breaks the connection.

    Raises what `Fetch.run` raises. `response.phase` tells whether anything was sent: only from
    BEFORE_HEAD may another attempt be made.
    """
    try:
        await fetch.run()
    except BaseException:
        if response.phase is Phase.STREAMING:
            response.abort()
        raise
