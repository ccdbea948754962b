"""Watches what an origin sends, between the connection and Twisted's HTTP client.

It knows where each response begins and ends, so that

- the client sees only heads that `heads` has read, bounded and written anew;
- a connection on which anything comes that was not asked for is given up, and never carries
  another request (RFC 9112 section 6.3: such data "MUST NOT" become a separate response).

Kept apart from the agent because it speaks bytes and knows neither URLs nor TLS. It lies above
TLS, and above every tunnel. For content it compares two numbers, and copies nothing.

Strategy. A request is seen as it is written, the end of content is counted or, where it is
chunked, read off the client's state.

| phase | what came last | bytes that come now |
|---|---|---|
| IDLE | nothing, or the end of a response | were not asked for: broken |
| HEAD | a request went out | are a head |
| CONTENT | a head; `_left` bytes, or all until the connection ends | are content |
| CHUNKS | a head; the chunks tell the end | are chunks |
| BROKEN | a fault, or the client's farewell | are dropped, until the connection is lost |

A request that goes out while the end of a response is still being handed over finds IDLE too,
until the next turn of the reactor: nothing that was read in this one can be its answer.

A request that meets a broken connection fails with `ResponseNeverReceived`, whose reason is the
fault; where the connection came from the pool, the pool repeats the request on a new one.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import ClassVar, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    ISystemHandle,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from streamer.downloaders.heads import Head, HeadReader
from streamer.errors import OriginNonsense

READ_BYTES = 256 * 1024
"""How much is read at a time, where so much is there: a quarter of the calls that Twisted makes."""


class Phase(Enum):
    """What may come next on a connection; the table above says what follows from it."""

    IDLE = auto()
    HEAD = auto()
    CONTENT = auto()
    CHUNKS = auto()
    BROKEN = auto()


class WatchedConnection(ProtocolWrapper):
    """One connection to an origin, used for any number of requests, one after the other.

    Requests have no content: whatever is written after a response began is another request.
    """

    def __init__(self, factory: _Watching, client: IProtocol) -> None:
        super().__init__(factory, client)
        self._clock = factory.clock
        self._phase = Phase.IDLE
        self._head = HeadReader()
        self._left: float = 0
        self._fault: OriginNonsense | None = None

    def connectionMade(self) -> None:
        wire = self._wire()
        if isinstance(wire, FileDescriptor):
            wire.bufferSize = READ_BYTES
        super().connectionMade()

    # what the client sends

    def write(self, data: bytes) -> None:
        if self._may_ask():
            super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        if self._may_ask():
            super().writeSequence(data)

    def loseConnection(self) -> None:
        """Close without waiting for the origin's TLS farewell, which may never come."""
        super().loseConnection()
        self._wire().loseConnection()

    def stopProducing(self) -> None:
        """Take nothing more, not even what was read already; and let nobody ask here again."""
        self._phase, self._left = Phase.BROKEN, 0
        cast(IPushProducer, self._wire()).stopProducing()

    def _may_ask(self) -> bool:
        if self._phase in (Phase.IDLE, Phase.CONTENT, Phase.CHUNKS):
            self._begin_request()
        return self._phase is not Phase.BROKEN

    def _begin_request(self) -> None:
        if self._something_waits():
            self._break(_unasked())
        elif self._phase is Phase.IDLE:
            self._await_head()
        else:
            # Whoever took the end of the content asks before `dataReceived` has returned.
            self._phase, self._left = Phase.IDLE, 0
            self._clock.callLater(0, self._await_head)

    def _await_head(self) -> None:
        if self._phase is Phase.IDLE:
            self._phase, self._head = Phase.HEAD, HeadReader()

    def _something_waits(self) -> bool:
        """Whether the socket holds bytes that nobody has read yet."""
        wire = self._wire()
        if not ISystemHandle.providedBy(wire):
            return False
        try:
            return bool(cast(socket.socket, wire.getHandle()).recv(1, socket.MSG_PEEK))
        except OSError:
            # Nothing waits, or the connection has failed, which its transport will say.
            return False

    def _wire(self) -> ITCPTransport:
        """The transport below TLS."""
        wire: object = self.transport
        while isinstance(wire, ProtocolWrapper):
            wire = wire.transport
        return cast(ITCPTransport, wire)

    # what the origin sends

    def dataReceived(self, data: bytes) -> None:
        if (left := self._left - len(data)) > 0:
            self._left = left
            self.wrappedProtocol.dataReceived(data)
        else:
            self._receivers[self._phase](self, data)

    def _receive_head(self, data: bytes) -> None:
        try:
            found = self._head.feed(data)
        except OriginNonsense as fault:
            self._break(fault)
            return
        if found is not None:
            self._begin_response(*found)

    def _begin_response(self, head: Head, rest: bytes) -> None:
        self._phase = Phase.CHUNKS if head.is_chunked else Phase.CONTENT
        if head.length == 0:
            self._end_response(head.raw, is_more=bool(rest))
            return
        if not head.is_chunked:
            self._left = math.inf if head.length is None else head.length
        self.wrappedProtocol.dataReceived(head.raw)
        if rest:
            self.dataReceived(rest)

    def _receive_end(self, data: bytes) -> None:
        end, self._left = int(self._left), 0
        self._end_response(data[:end], is_more=len(data) > end)

    def _end_response(self, data: bytes, *, is_more: bool) -> None:
        if is_more:
            self._break(_unasked())
        self.wrappedProtocol.dataReceived(data)
        self._rest()

    def _receive_chunks(self, data: bytes) -> None:
        # The client does not say whether anything followed the last chunk. That one ends with LF:
        # if the response is complete one byte earlier, then something did.
        end = len(data) - data.endswith(b"\n")
        self.wrappedProtocol.dataReceived(data[:end])
        if self._is_answered():
            self._break(_unasked())
        elif end < len(data):
            self.wrappedProtocol.dataReceived(data[end:])
            if self._is_answered():
                self._rest()

    def _is_answered(self) -> bool:
        """Whether the client has seen the end of the chunks.

        `HTTP11ClientProtocol.state` is what its pool goes by; it is read here and nowhere else.
        """
        state = getattr(self.wrappedProtocol, "state", None)
        return self._phase is not Phase.CHUNKS or state != "WAITING"

    def _rest(self) -> None:
        if self._phase is not Phase.BROKEN:
            self._phase = Phase.IDLE

    def _receive_unasked(self, data: bytes) -> None:
        self._break(_unasked())

    def _drop(self, data: bytes) -> None:
        """Ignore what a broken connection still delivers."""

    _receivers: ClassVar[Mapping[Phase, Callable[[WatchedConnection, bytes], None]]] = {
        Phase.IDLE: _receive_unasked,
        Phase.HEAD: _receive_head,
        Phase.CONTENT: _receive_end,
        Phase.CHUNKS: _receive_chunks,
        Phase.BROKEN: _drop,
    }

    def _break(self, fault: OriginNonsense) -> None:
        """Give the connection up at once; whoever still waits for an answer learns why."""
        if self._phase is not Phase.BROKEN:
            self._phase, self._left, self._fault = Phase.BROKEN, 0, fault
            self._head = HeadReader()
            self.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason if self._fault is None else Failure(self._fault))


def _unasked() -> OriginNonsense:
    return OriginNonsense("it sends what was not asked for")


class _Watching(WrappingFactory[WatchedConnection]):
    protocol = WatchedConnection
    noisy = False

    def __init__(self, factory: IProtocolFactory, clock: IReactorTime) -> None:
        super().__init__(factory)
        self.clock = clock


@implementer(IStreamClientEndpoint)
class WatchedEndpoint:
    """Connects as another endpoint does, and watches the connection."""

    def __init__(self, endpoint: IStreamClientEndpoint, clock: IReactorTime) -> None:
        self._endpoint = endpoint
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        watching = _Watching(protocolFactory, self._clock)
        connected: Deferred[IProtocol] = self._endpoint.connect(watching)
        return connected.addCallback(_client_of)


def _client_of(connection: IProtocol) -> IProtocol:
    """Give Agent the protocol that its own factory made."""
    client: IProtocol = cast(WatchedConnection, connection).wrappedProtocol
    return client
