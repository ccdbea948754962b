"""The HTTP/1.1 door: what reaches the application, and what is turned away before it.

Twisted's server leaves some doors open that strangers find (docs/http.md): it reads heads more
kindly than RFC 9112 allows, spools request content to disk before any code of ours runs, restarts
its idle time-out with every byte of a slow head, keeps without bound what is pipelined behind a
response that nobody takes, and accepts any number of connections. Here each has a bound, and each
refusal is a complete response that closes the connection.

What a head is, and with what status one is refused, is decided in `request_head`. The channel adds
when: it hands Twisted one head at a time, and reads the next one when the response before it is
taken, so a refusal stands behind all responses that are due.

HTTP/2 is not offered, even where its packages are installed: Twisted's can neither break a
response off visibly nor hold a sender back.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import ClassVar, cast

from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from streamer.pace import Patience, taken_mark
from streamer.request_head import MAX_HEAD_BYTES, HeadReader, HeadRefused
from streamer.settings import ContentSettings

LINGER_SECONDS = 2
LINGER_BYTES = 1024 * 1024
"""How long and how much of a refused request is still read, for the sake of its answer."""

PIPELINED_BYTES = MAX_HEAD_BYTES
"""How much may wait behind a running response before the client is no longer read."""

_log = Logger()


def peer_name(address: IAddress) -> str:
    """A client's host, or `unix` where it has none."""
    return str(getattr(address, "host", "unix"))


class DoorRequest(Request):
    """A request without content (the channel refuses any) and without default fields."""

    defaultContentType = None

    def getRequestHostname(self) -> bytes:
        """The same for every request: what the client says of us stays at the door."""
        return b"localhost"


class DoorChannel(HTTPChannel):
    """One client connection: heads in time, refusals that arrive, responses that are taken.

    A client that asks and does not read must not fill memory with responses, nor keep a connection
    that is only waiting to be closed. So the next pipelined request waits until the response
    before it is taken, and whoever takes nothing for `delivery.client_stall` is cut off.
    """

    factory: DoorSite
    _head_alarm: IDelayedCall | None = None
    _linger_alarm: IDelayedCall | None = None
    _is_reading = False
    _is_closing = False
    _has_answered = False
    _lingered_bytes = 0
    _untaken: Request | None = None
    _heads: HeadReader
    _patience: Patience

    def connectionMade(self) -> None:
        self._heads = HeadReader()
        self._patience = Patience(
            self.factory.reactor,
            self.factory.stall_seconds,
            lambda: taken_mark(self.transport),
            self._transport.abortConnection,
        )
        self.factory.connections.add(self)
        if ITCPTransport.providedBy(self.transport):
            self._transport.setTcpKeepAlive(True)
        super().connectionMade()

    @property
    def _transport(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)

    # -- what is let in

    def dataReceived(self, data: bytes) -> None:
        if self._is_closing:
            self._linger(data)
            return
        self.resetTimeout()
        self._heads.receive(data)
        self._read_heads()

    def _read_heads(self) -> None:
        """Hand over head after head while no response is under way."""
        if self._is_reading:
            # A response ended at once, within the loop below, which goes on by itself.
            return
        self._is_reading = True
        try:
            while not self._is_waiting_for_its_turn and (head := self._heads.next_head()):
                self._stop_head_alarm()
                # Twisted puts it off while it answers, and takes it up again as it found it.
                self.setTimeout(self.factory.timeOut)
                super().dataReceived(bytes(head))
        except HeadRefused as refusal:
            self.refuse(refusal.status)
        finally:
            self._is_reading = False
        if self.requests:
            if self._heads.held_bytes > PIPELINED_BYTES:
                # Twisted's requestDone resumes, and its own buffer has no bound.
                cast(IPushProducer, self.transport).pauseProducing()
        elif not self._is_closing and self._heads.is_within_head:
            self._start_head_alarm()

    @property
    def _is_waiting_for_its_turn(self) -> bool:
        """Whether what has come is not to be read now, or never."""
        return self._is_closing or bool(self.requests)

    def _start_head_alarm(self) -> None:
        if self._head_alarm is None:
            # The idle time-out would close without a word.
            self.setTimeout(None)
            limit = self.factory.settings.head_timeout_seconds
            self._head_alarm = self.callLater(limit, lambda: self.refuse(408))

    def _stop_head_alarm(self) -> None:
        _cancel(self._head_alarm)
        self._head_alarm = None

    # -- how a response is taken

    def write(self, data: bytes) -> None:
        """Send at once what the client's connection takes, and queue the rest.

        A client that keeps up is then never waited for: Twisted would ask the system twice for each
        chunk, to be told when the client has room and not to be told any more.
        """
        super().write(data[self._sent_at_once(data) :])

    def _sent_at_once(self, data: bytes) -> int:
        transport: object = self.transport
        if not isinstance(transport, Connection) or transport.TLS or not transport.connected:
            return 0
        # Private to Twisted: what is queued and comes first.
        if transport.dataBuffer or transport._tempDataLen:
            return 0
        rest = memoryview(data)
        while rest:
            # A connection that is found lost here is found lost again where Twisted expects it.
            taken = transport.writeSomeData(cast(bytes, rest))
            if not isinstance(taken, int) or not taken:
                break
            rest = rest[taken:]
        return len(data) - len(rest)

    def requestDone(self, request: Request) -> None:
        self._has_answered = True
        # Private to Twisted: whether the client is behind with reading.
        if self._waitingForTransport and self.persistent:
            self._untaken = request
            self._patience.start()
        else:
            super().requestDone(request)
            self._read_heads()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._untaken is not None:
            request, self._untaken = self._untaken, None
            self._patience.stop()
            super().requestDone(request)
            self._read_heads()

    # -- how a connection ends

    def loseConnection(self) -> None:
        self._is_closing = True
        self._stop_head_alarm()
        super().loseConnection()
        # What is queued is still being sent, and over TLS a farewell is awaited.
        self._patience.start()

    def timeoutConnection(self) -> None:
        self.loseConnection()

    def refuse(self, status: int) -> None:
        """Answer with a bare status and take nothing more from this client.

        The write side closes at once, over TLS by its farewell; the read side stays a moment, since
        a reset caused by bytes nobody read would overtake the answer (RFC 9112 section 9.6).
        """
        if self._is_closing:
            return
        self._is_closing = True
        self._stop_head_alarm()
        self.setTimeout(None)
        self.factory.on_refusal(peer_name(self.getPeer()), status)
        if self.isSecure():
            self._transport.write(_bare_response(status))
            self.loseConnection()
        else:
            # A producer that was paused would put the end off for ever.
            cast(IConsumer, self.transport).unregisterProducer()
            self._transport.write(_bare_response(status))
            self._transport.loseWriteConnection()
        if self._has_answered:
            # What stands before the refusal may take a slow client its time.
            self._patience.start()
        else:
            self._linger_alarm = self.callLater(LINGER_SECONDS, self._transport.abortConnection)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(431)

    def _respondToBadRequestAndDisconnect(self) -> None:
        # Private to Twisted: what it refuses by itself, though no head that was read here.
        self.refuse(400)

    def _linger(self, data: bytes) -> None:
        self._lingered_bytes += len(data)
        if self._lingered_bytes > LINGER_BYTES:
            self._transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_closing = True
        self._stop_head_alarm()
        _cancel(self._linger_alarm)
        self._patience.stop()
        self.factory.connections.discard(self)
        super().connectionLost(reason)


def _bare_response(status: int) -> bytes:
    allow = b"Allow: GET, HEAD\r\n" if status == 405 else b""
    return b"HTTP/1.1 %d %b\r\n%bContent-Length: 0\r\nCache-Control: no-store\r\n" % (
        status,
        HTTPStatus(status).phrase.encode(),
        allow,
    ) + (b"Connection: close\r\n\r\n")


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()


class _TurnedAway(Protocol):
    """A connection beyond the limit; with None, Twisted's wrappers (TLS, PROXY) would fail."""

    def connectionMade(self) -> None:
        cast(ITCPTransport, self.transport).abortConnection()


class DoorSite(Site):
    """The factory of an endpoint: counts connections and admits a bounded number."""

    # HTTPFactory is annotated for its switch between HTTP/1.1 and HTTP/2, which is left out here.
    protocol = DoorChannel  # type: ignore[assignment]
    requestFactory = DoorRequest
    limit_name: ClassVar[str] = "content.max_connections"

    def __init__(
        self,
        resource: IResource,
        settings: ContentSettings,
        reactor: IReactorTime,
        *,
        stall_seconds: float,
        on_refusal: Callable[[str, int], None],
    ) -> None:
        super().__init__(
            resource,
            timeout=settings.keep_alive_seconds,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
        self.settings = settings
        self.on_refusal = on_refusal
        self.connections: set[DoorChannel] = set()
        self.stall_seconds = stall_seconds
        self._is_full = False

    def buildProtocol(self, addr: IAddress | None) -> Protocol:  # type: ignore[override]
        count, limit = len(self.connections), self.settings.max_connections
        if count >= limit:
            self._say_that_it_is_full(count)
            return _TurnedAway()
        if count < limit * 0.9:
            self._is_full = False
        return cast(DoorChannel, super().buildProtocol(addr))

    def _say_that_it_is_full(self, count: int) -> None:
        """Once, and not again before it was noticeably emptier."""
        if not self._is_full:
            _log.warn(
                "{count} clients are connected ({limit}): more are turned away",
                count=count,
                limit=self.limit_name,
            )
        self._is_full = True

    def log(self, request: object) -> None:
        """Nothing: the transfer log is written where an exchange ends, which is elsewhere."""

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]
