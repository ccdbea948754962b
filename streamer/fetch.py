"""The first half of the pump: downloads, one after the other, under one running digest.

Strategy. Bytes go *fetch → verify → window → reader*. A `Fetch` owns one download at a time and the
running digest; a reader owns one response (see `pipe`) or a file. The window between them is empty
so far, since each fetch has one reader: what was verified to be no more than promised goes on at
once, and what waits is the tail.

What broke off is resumed, where somebody can: at the exact byte, under the same running digest, so
that a wrong continuation is found out like any other wrong content (invariant 2). What cannot be
resumed is raised. Beside that a fetch looks every few seconds at what has come while the origin was
waited for, and tells it (`rates`). Somebody may open the rest elsewhere then, while the content
flows on, and the fetch changes over only when that is open: a slow origin is left for another, and
never for none.

Every pause and every resume of the reader is passed on, also repeated ones: `deliverBody` resumes a
transport that was paused before, and only the repetition repairs that. The origin's silence is
timed while content flows, and not while it is paused.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from streamer.errors import (
    ContentTruncated,
    OriginError,
    OriginSilent,
    SizeMismatch,
    StreamerError,
)
from streamer.interfaces import Download
from streamer.pace import Alarm, Meter
from streamer.rates import Flow
from streamer.verify import Verifier


class Reader(Protocol):
    """Drinks from a fetch. What it raises (a `StreamerError`) ends the fetch."""

    def attach(self, fetch: Fetch) -> None:
        """Learn whom to pause and resume, before the first byte."""

    def take(self, content: bytes) -> None:
        """Take the next bytes that the verifier lets pass."""

    async def complete(self) -> None:
        """Everything taken is proven right: let the rest out; returns when the reader has it."""

    def detach(self) -> None:
        """The last call on every path: forget timers and the fetch."""


Resume = Callable[[int, OriginError], Coroutine[Any, Any, Download]]
"""Opens a download whose content begins at this position, after content broke off there.

Raises the failure that it was given, or another `OriginError`, where nobody can go on.
"""


Relieve = Callable[[Callable[[], int], Flow], Coroutine[Any, Any, Download | None]]
"""Opens a better download of the rest of the content, where the one under way comes to this flow.

It begins at the position that the first argument tells when it is there; until then the content
goes on. None where nobody is better, or nobody needs to be.
"""

LOOK_SECONDS = 10.0
"""How often a fetch looks: clients that have a limit of their own judge by 30 s."""


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
        on_flow: Callable[[Flow], None] = lambda flow: None,
        relieve: Relieve | None = None,
    ) -> None:
        self._download: Download | None = download
        self._verifier = verifier
        self._reader = reader
        self._resume = resume
        self._on_bytes = on_bytes
        self._on_flow = on_flow
        self._relieve = relieve
        self._silence = Alarm(
            clock, idle_seconds, lambda: self.content_ended(OriginSilent(idle_seconds))
        )
        self._part_over: Deferred[OriginError | None] = Deferred()
        self._resuming: Deferred[Download] | None = None
        self._relieving: Deferred[None] | None = None
        self._received_bytes = 0
        self._meter = Meter(clock, lambda: self._received_bytes)
        self._next_look = Alarm(clock, LOOK_SECONDS, self._look)
        self._is_paused = False
        self._running = True

    async def run(self) -> None:
        """Feed the reader until it has everything, verified.

        Raises the `OriginError` that ended the content, or what the reader raised. On every path,
        cancellation included, the download is stopped and no timer is left.
        """
        try:
            # First, since a reader may be full from the first moment on and pause at once.
            self._expect_content()
            if self._relieve is not None:
                self._next_look.start()
            self._reader.attach(self)
            self._deliver()
            while (failure := await self._part_over) is not None:
                self._part_over = Deferred()
                await self._go_on(failure)
            await self._reader.complete()
        finally:
            self._finish()
            self._reader.detach()
            self._stop_download()

    def pause(self) -> None:
        """The reader is full: let the origin wait, and do not hold its silence against it."""
        if self._running:
            self._is_paused = True
            self._expect_nothing()
            if self._download is not None:
                self._download.pause()

    def resume(self) -> None:
        """The reader has room again."""
        if self._running:
            self._is_paused = False
            if self._download is not None:
                self._expect_content()
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
            self._download.deliver(_Part(self, self._download))

    def takes_from(self, download: Download) -> bool:
        """Whether this is the download that is under way."""
        return self._download is download

    def content_received(self, chunk: bytes) -> None:
        """`Sink`, of the download that is under way: count, digest, pass on."""
        if not self._running:
            return
        if not chunk:
            self._meter.excuse(self._silence.pending_seconds)
        self._silence.restart()
        if not chunk:
            return
        self._received_bytes += len(chunk)
        self._on_bytes(len(chunk))
        try:
            passed = self._verifier.update(chunk)
        except OriginError as objection:
            if self._verifier.is_proving:
                self.content_ended(objection)
            else:
                self.fail(objection)
        else:
            self._pass_on(passed)

    def _pass_on(self, passed: Iterable[bytes]) -> None:
        try:
            for piece in passed:
                self._reader.take(piece)
        except StreamerError as error:
            self.fail(error)

    def content_ended(self, error: OriginError | None) -> None:
        """`Sink` as well: the verdict is the verifier's own, however the origin ended."""
        if not self._running:
            return
        try:
            self._verifier.finish(error)
        except OriginError as found:
            if self._resume is None:
                self.fail(found)
            elif isinstance(found, SizeMismatch):
                # Too few: the verifier objects to too many as they come.
                self._break_off(ContentTruncated(self._verifier.position))
            elif found is error:
                self._break_off(found)
            else:
                self.fail(found)
        else:
            self._finish()
            self._part_over.callback(None)

    def _break_off(self, failure: OriginError) -> None:
        """There is less content than promised: let `run` resume it."""
        self._expect_nothing()
        self._cancel_relief()
        self._tell_flow()
        self._stop_download()
        self._pass_on_rest()
        if self._running:
            self._part_over.callback(failure)

    def _pass_on_rest(self) -> None:
        """What may pass of what came, before somebody else goes on."""
        try:
            passed = self._verifier.break_off()
        except OriginError as objection:
            self.fail(objection)
        else:
            self._pass_on(passed)

    # -- from one download to the next

    async def _go_on(self, failure: OriginError) -> None:
        assert self._resume is not None  # noqa: S101 - `content_ended` has looked
        self._resuming = Deferred.fromCoroutine(self._resume(self._verifier.position, failure))
        try:
            self._download = await self._resuming
        except (CancelledError, OriginError):
            if not self._running:
                return  # it failed meanwhile, for the reason that `run` finds next
            raise
        finally:
            self._resuming = None
        self._change_over()

    def _change_over(self) -> None:
        """Take what comes from another download from now on."""
        assert self._download is not None  # noqa: S101 - whoever calls has just opened it
        self._meter.take()
        if self._is_paused:
            self._download.pause()
        else:
            self._expect_content()
        self._deliver()

    def _stop_download(self) -> None:
        download, self._download = self._download, None
        if download is not None:
            download.stop()

    def _finish(self) -> None:
        if self._running:
            self._running = False
            self._expect_nothing()
            self._next_look.stop()
            self._cancel_relief()
            self._tell_flow()

    def _expect_content(self) -> None:
        self._silence.start()
        self._meter.wait()

    def _expect_nothing(self) -> None:
        self._silence.stop()
        self._meter.rest()

    # -- from a slow download to a better one

    def _look(self) -> None:
        self._next_look.start()
        if self._download is None:
            return  # content broke off, and somebody looks for another download already
        flow = self._tell_flow()
        if self._relieve is not None and self._relieving is None:
            relieving = Deferred.fromCoroutine(self._change_for_better(self._relieve, flow))
            relieving.addErrback(lambda failure: failure.trap(CancelledError))
            if not relieving.called:
                self._relieving = relieving

    def _tell_flow(self) -> Flow:
        flow = self._meter.take()
        self._on_flow(flow)
        return flow

    async def _change_for_better(self, relieve: Relieve, flow: Flow) -> None:
        try:
            better = await relieve(lambda: self._verifier.position, flow)
        finally:
            self._relieving = None
        if better is not None:
            self._stop_download()
            self._download = better
            self._pass_on_rest()
            if self._running:
                self._change_over()

    def _cancel_relief(self) -> None:
        if self._relieving is not None:
            self._relieving.cancel()


class _Part:
    """The sink of one download: what that sends after it was stopped is none of the content.

    It should send nothing then, but another one's bytes would stand in the wrong place for it.
    """

    __slots__ = ("_download", "_fetch")

    def __init__(self, fetch: Fetch, download: Download) -> None:
        self._fetch = fetch
        self._download = download

    def content_received(self, chunk: bytes) -> None:
        if self._fetch.takes_from(self._download):
            self._fetch.content_received(chunk)

    def content_ended(self, error: OriginError | None) -> None:
        if self._fetch.takes_from(self._download):
            self._fetch.content_ended(error)
