"""The pump: one download into one response, verified on the way.

Strategy. Bytes go *fetch → verify → window → reader*. A `Fetch` owns one download and the running
digest; a reader owns one response (or file) with its held tail and its client's pace. The window
between them is empty so far, since each fetch has one reader: what was verified to be no more
than promised goes on at once, and what waits is the tail.

While the response is BEFORE_HEAD (see `response`), a failure is raised and the exchange may try
another origin or answer with a status. Afterwards what broke off is resumed, where somebody can: at
the exact byte, under the same running digest, so that a wrong continuation is found out like any
other wrong content (invariant 2). What cannot be resumed breaks the connection.

The reader, not the origin's transport, is the response's producer. Every pause and every resume
is passed on, also repeated ones: `deliverBody` resumes a transport that was paused before, and
only the repetition repairs that. Exactly one of two clocks runs: the origin's silence while
content flows, the client's stall while it is paused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from streamer.errors import (
    ClientStalled,
    ContentTruncated,
    LengthUnknown,
    OriginError,
    OriginSilent,
    SizeMismatch,
    StreamerError,
)
from streamer.interfaces import Download
from streamer.pace import Alarm, Patience
from streamer.partial_content import Cut
from streamer.response import Phase, Response
from streamer.verify import TAIL_BYTES, HeldTail, Verifier


class Reader(Protocol):
    """Drinks from a fetch. What it raises (a `StreamerError`) ends the fetch."""

    def attach(self, fetch: Fetch) -> None:
        """Learn whom to pause and resume, before the first byte."""

    def take(self, content: bytes) -> None:
        """Take bytes that are within the promised size and not yet proven right."""

    async def complete(self) -> None:
        """Everything taken is proven right: let the rest out; returns when the reader has it."""

    def detach(self) -> None:
        """The last call on every path: forget timers and the fetch."""


Resume = Callable[[int, OriginError], Coroutine[Any, Any, Download]]
"""Opens a download whose content begins at this position, after content broke off there.

Raises the failure that it was given, or another `OriginError`, where nobody can go on.
"""


class Fetch:
    """Runs downloads, one after the other, under one running digest and feeds one reader.

    Rule: after the verifier or the reader has objected, no further byte passes.
    """

    def __init__(
        self,
        download: Download,
        verifier: Verifier,
        reader: Reader,
        *,
        clock: IReactorTime,
        idle_seconds: float,
        resume: Resume | None = None,
        on_bytes: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._download: Download | None = download
        self._verifier = verifier
        self._reader = reader
        self._resume = resume
        self._on_bytes = on_bytes
        self._silence = Alarm(
            clock, idle_seconds, lambda: self.content_ended(OriginSilent(idle_seconds))
        )
        self._part_over: Deferred[OriginError | None] = Deferred()
        self._resuming: Deferred[Download] | None = None
        self._received_bytes = 0
        self._is_paused = False
        self._running = True

    async def run(self) -> None:
        """Feed the reader until it has everything, verified.

        Raises the `OriginError` that ended the content, or what the reader raised. On every path,
        cancellation included, the download is stopped and no timer is left.
        """
        try:
            # First, since a reader may be full from the first moment on and pause at once.
            self._silence.start()
            self._reader.attach(self)
            self._deliver()
            while (failure := await self._part_over) is not None:
                self._part_over = Deferred()
                await self._go_on(failure)
            await self._reader.complete()
        finally:
            self._running = False
            self._silence.stop()
            self._reader.detach()
            self._stop_download()

    def pause(self) -> None:
        """The reader is full: let the origin wait, and do not hold its silence against it."""
        if self._running:
            self._is_paused = True
            self._silence.stop()
            if self._download is not None:
                self._download.pause()

    def resume(self) -> None:
        """The reader has room again."""
        if self._running:
            self._is_paused = False
            if self._download is not None:
                self._silence.start()
                self._download.resume()

    def fail(self, error: StreamerError) -> None:
        """End the content here: `run` raises `error`. Harmless once it is over."""
        if self._running:
            self._finish()
            if self._resuming is not None:
                self._resuming.cancel()
            self._part_over.errback(error)

    # -- one download

    def _deliver(self) -> None:
        if self._download is not None:
            self._download.deliver(self)

    def content_received(self, chunk: bytes) -> None:
        """`Sink`: count, digest, pass on."""
        if not self._running:
            return
        self._silence.restart()
        if not chunk:
            return
        self._received_bytes += len(chunk)
        self._on_bytes(len(chunk))
        try:
            self._verifier.update(chunk)
            self._reader.take(chunk)
        except StreamerError as error:
            self.fail(error)

    def content_ended(self, error: OriginError | None) -> None:
        """`Sink`: the verdict is the verifier's own, however the origin ended."""
        if not self._running:
            return
        try:
            self._verifier.finish(error)
        except OriginError as found:
            if self._resume is None:
                self.fail(found)
            elif isinstance(found, SizeMismatch):
                # Too few: the verifier objects to too many as they come.
                self._break_off(ContentTruncated(self._received_bytes))
            elif found is error:
                self._break_off(found)
            else:
                self.fail(found)
        else:
            self._finish()
            self._part_over.callback(None)

    def _break_off(self, failure: OriginError) -> None:
        """There is less content than promised: let `run` resume it."""
        self._silence.stop()
        self._stop_download()
        self._part_over.callback(failure)

    # -- from one download to the next

    async def _go_on(self, failure: OriginError) -> None:
        assert self._resume is not None  # noqa: S101 - `content_ended` has looked
        self._resuming = Deferred.fromCoroutine(self._resume(self._received_bytes, failure))
        try:
            self._download = await self._resuming
        except (CancelledError, OriginError):
            if not self._running:
                return  # it failed meanwhile, for the reason that `run` finds next
            raise
        finally:
            self._resuming = None
        if self._is_paused:
            self._download.pause()
        else:
            self._silence.start()
        self._deliver()

    def _stop_download(self) -> None:
        download, self._download = self._download, None
        if download is not None:
            download.stop()

    def _finish(self) -> None:
        self._running = False
        self._silence.stop()


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
