"""The content of one response over HTTP, as it comes: delivered, paused, stopped, or read whole.

Kept apart from the requests because it lives on when they are done; whoever waits for its end, as a
turn of the importer does, is told exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from streamer.errors import ContentTruncated, OriginError, OriginNonsense
from streamer.interfaces import Sink
from streamer.model import OriginResponse
from streamer.ranges import ByteRange, read_content_range
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

MAX_SHORT_BYTES = 64 * 1024


class Download(Protocol):
    """An open response, and the protocol that Twisted delivers its content to.

    What `deliverBody` makes of `transport` can pause, resume and stop, and no more. To stop reaches
    the socket below TLS at once, paused or not.
    """

    def __init__(self, origin: IResponse, response: OriginResponse) -> None:
        self.response = response
        self._origin = origin
        self._sink: Sink | None = None
        self._has_begun = False
        self._is_paused = False
        self._received_bytes = 0
        self._when_over: list[Callable[[], None]] = []

    def when_over(self, call: Callable[[], None]) -> None:
        """Call once when the connection is free again or given up."""
        self._when_over.append(call)

    def prove(self, span: ByteRange) -> None:
        """Take a 206 for `span` if it says that it is that and nothing else; no digest would."""
        values = [value for name, value in self.response.fields if name.lower() == "content-range"]
        found = read_content_range(values[0]) if len(values) == 1 else None
        if found is None or found[0] != span or self.response.length not in (None, span.length):
            raise OriginNonsense("it sends something else than the range it was asked for")
        self.response = replace(self.response, part_of=found[1])

    def deliver(self, sink: Sink) -> None:
        self._sink = sink
        self._begin()

    def pause(self) -> None:
        self._is_paused = True
        if (producer := self._producer()) is not None:
            producer.pauseProducing()

    def resume(self) -> None:
        self._is_paused = False
        if (producer := self._producer()) is not None:
            producer.resumeProducing()

    def stop(self) -> None:
        self._sink = None
        if not self._has_begun:
            self._begin()  # without that, nothing could be told to stop
        if (producer := self._producer()) is not None:
            producer.stopProducing()
        self._finish()

    async def read_short(self) -> bytes:
        """All of a short answer; on every way out the download is over."""
        answer = _ShortAnswer()
        try:
            self.deliver(answer)
            return await answer.whole
        finally:
            self.stop()

    def _begin(self) -> None:
        self._has_begun = True
        self._origin.deliverBody(self)
        if self._is_paused:
            self.pause()  # deliverBody has just resumed it, whatever was said before

    def _producer(self) -> IPushProducer | None:
        return cast(IPushProducer, self.transport) if self._has_begun else None

    def _finish(self) -> None:
        waiting, self._when_over = self._when_over, []
        for tell in waiting:
            tell()

    # -- twisted.internet.protocol.Protocol

    def dataReceived(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._sink is not None:
            self._sink.content_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        sink, self._sink = self._sink, None
        self._finish()
        if sink is not None:
            # Content that ends with its connection is whole for all that the origin says; the
            # service knows its size.
            is_whole = reason.check(ResponseDone, PotentialDataLoss) is not None
            sink.content_ended(None if is_whole else ContentTruncated(self._received_bytes))


class _ShortAnswer:
    """A sink that holds what is short."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._content = b""

    def content_received(self, chunk: bytes) -> None:
        self._content += chunk
        if len(self._content) > MAX_SHORT_BYTES:
            self.content_ended(OriginNonsense("its answer is too long"))

    def content_ended(self, error: OriginError | None) -> None:
        if self.whole.called:
            return
        if error is None:
            self.whole.callback(self._content)
        else:
            self.whole.errback(error)
