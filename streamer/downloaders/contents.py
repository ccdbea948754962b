"""The content of one response over HTTP, as it comes: paced, paused, stopped, or read and dropped.

There are two reasons to pause a connection, the sink's and the importer's limit of bytes, and it
flows only while there is neither. While the limit holds content back, the sink is given empty
chunks, so that it does not take that for the origin's silence.

Kept apart from the requests because this is the part that lives on when they are done; whoever
waits for its end, as a slot does, is told exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

from streamer.downloaders.limits import ByteRate
from streamer.downloaders.throttle import Throttle
from streamer.errors import ContentTruncated, OriginNonsense
from streamer.interfaces import Sink
from streamer.model import OriginResponse
from streamer.ranges import ByteRange, read_content_range

DISCARD_BYTES = 64 * 1024
DISCARD_SECONDS = 2
"""How much of what nobody wants is read to keep its connection, and how long: an error page or a
redirect's, not a file."""


class HttpDownload(Protocol):
    """An open response, and the protocol that its content is delivered to.

    The connection is given up with `stopProducing`, which reaches the socket below TLS at once,
    paused or not; `loseConnection` would leave a TLS connection open for good.
    """

    def __init__(
        self,
        origin: IResponse,
        response: OriginResponse,
        clock: IReactorTime,
        rate: ByteRate | None = None,
        *,
        is_strict: bool = False,
    ) -> None:
        """`is_strict` says that content without a visible end is broken off, and not over."""
        self.response = response
        self._origin = origin
        self._clock = clock
        self._throttle = Throttle(rate, clock, self._say_nothing, self._go_on)
        self._is_strict = is_strict
        self._sink: Sink | None = None
        self._delivering = False
        self._when_over: list[Callable[[], None]] = []
        self._paused = False
        self._received_bytes = 0
        self._giving_up: IDelayedCall | None = None

    def when_over(self, call: Callable[[], None]) -> None:
        """Call once when the connection is free again or given up."""
        self._when_over.append(call)

    def prove(self, span: ByteRange) -> None:
        """Take a 206 for `span` if it shows that it is nothing else (RFC 9110 section 15.3.7).

        No digest will find a wrong one out. A content coding is no matter: the complete length has
        to be the published one, so what is labelled gzip is the file. Stops and raises
        `OriginNonsense` where it is not shown.
        """
        values = [value for name, value in self.response.fields if name.lower() == "content-range"]
        found = read_content_range(values[0]) if len(values) == 1 else None
        is_length_other = self.response.length not in (None, span.length)
        if found is None or found[0] != span or is_length_other:
            self.stop()
            raise OriginNonsense("it sends something else than the range it was asked for")
        self.response = replace(self.response, part_of=found[1])

    def deliver(self, sink: Sink) -> None:
        self._sink = sink
        self._start()

    def pause(self) -> None:
        self._paused = True
        self._hold()

    def resume(self) -> None:
        self._paused = False
        self._go_on()

    def stop(self) -> None:
        self._sink = None
        if not self._delivering:
            self._start()
        if (producer := self._producer()) is not None:
            producer.stopProducing()
        self._finish()

    def discard(self) -> Deferred[None]:
        """Read what nobody wants if it is short and soon there: its connection is kept.

        Fires when that is over, one way or the other; cancelling it is `stop`.
        """
        over: Deferred[None] = Deferred(self._abandon)
        self.when_over(lambda: None if over.called else over.callback(None))
        if self.response.length is None or self.response.length > DISCARD_BYTES:
            self.stop()
        else:
            self._giving_up = self._clock.callLater(DISCARD_SECONDS, self.stop)
            self._start()
        return over

    def _abandon(self, over: Deferred[None]) -> None:
        # First, since `stop` would tell it that all went well, and hide that it was cancelled.
        over.errback(CancelledError())
        self.stop()

    def _start(self) -> None:
        self._delivering = True
        self._origin.deliverBody(self)
        if self._paused or self._throttle.holds:
            # deliverBody has just resumed the transport, whatever was said before.
            self._hold()

    def _hold(self) -> None:
        if (producer := self._producer()) is not None:
            producer.pauseProducing()

    def _go_on(self) -> None:
        if self._paused or self._throttle.holds:
            return
        if (producer := self._producer()) is not None:
            producer.resumeProducing()

    def _say_nothing(self) -> None:
        if self._sink is not None:
            self._sink.content_received(b"")

    def _producer(self) -> IPushProducer | None:
        # What deliverBody connects this protocol to is a producer and nothing else.
        return cast(IPushProducer, self.transport) if self._delivering else None

    def _finish(self) -> None:
        self._throttle.stop()
        giving_up, self._giving_up = self._giving_up, None
        if giving_up is not None and giving_up.active():
            giving_up.cancel()
        waiting, self._when_over = self._when_over, []
        for tell in waiting:
            tell()

    # -- twisted.internet.protocol.Protocol

    def dataReceived(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._sink is not None:
            self._sink.content_received(data)
            self._throttle.account(len(data))
            if self._throttle.holds:
                self._hold()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        sink, self._sink = self._sink, None
        self._finish()
        if sink is None:
            return
        # A body that ends with the connection is PotentialDataLoss: complete for all the origin
        # says. The verifier knows, where there is one.
        shows_end = (ResponseDone,) if self._is_strict else (ResponseDone, PotentialDataLoss)
        is_whole = reason.check(*shows_end) is not None
        sink.content_ended(None if is_whole else ContentTruncated(self._received_bytes))
