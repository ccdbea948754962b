"""The HTTP/1.1 door: what reaches the application, and what is turned away before it.

Twisted's server leaves some doors open that strangers find (docs/http.md): it spools request
content to disk before any code of ours runs, answers some malformed heads with nothing at all,
restarts its idle time-out with every byte of a slow head, and accepts any number of connections.
Here each has a bound, and each refusal is a complete response that closes the connection.

HTTP/2 is not offered, even where its packages are installed: Twisted's can neither break a
response off visibly nor hold a sender back.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from streamer.pace import Patience, taken_mark
from streamer.settings import ContentSettings

LINGER_SECONDS = 2
LINGER_BYTES = 1024 * 1024
"""How long and how much of a refused request is still read, for the sake of its answer."""

_log = Logger()


def peer_name(address: IAddress) -> str:
    """A client's host, or `unix` where it has none."""
    return str(getattr(address, "host", "unix"))


class DoorRequest(Request):
    """A request without content (the channel refuses any) and without default fields."""

    defaultContentType = None


class DoorChannel(HTTPChannel):
    """One client connection: heads in time, refusals that arrive, responses that are taken.

    A client that asks and does not read must not fill memory with responses, nor keep a connection
    that is only waiting to be closed. So the next pipelined request waits until the response
    before it is taken, and whoever takes nothing for `delivery.client_stall` is cut off.
    """

    factory: DoorSite
    _head_alarm: IDelayedCall | None = None
    _linger_alarm: IDelayedCall | None = None
    _in_fields = False
    _refused = False
    _lingered_bytes = 0
    _untaken: Request | None = None
    _patience: Patience

    def connectionMade(self) -> None:
        self._patience = Patience(
            self.factory.reactor,
            self.factory.stall_seconds,
            lambda: taken_mark(self.transport),
            lambda: cast(ITCPTransport, self.transport).abortConnection(),
        )
        self.factory.connections.add(self)
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpKeepAlive(True)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            self._linger(data)
            return
        if not self._handlingRequest and self._head_alarm is None:
            limit = self.factory.settings.head_timeout_seconds
            self._head_alarm = self.callLater(limit, self._head_too_slow)
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if not self._refused:
            self._in_fields = True
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._refused:
            super().rawDataReceived(data)

    def allHeadersReceived(self) -> None:
        self._stop_head_alarm()
        self._in_fields = False
        if self.length == 0:
            super().allHeadersReceived()
        else:
            is_possible_method = self._command in (b"GET", b"HEAD")
            self.refuse(413 if is_possible_method else 405)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(431 if self._in_fields else 414)

    def _respondToBadRequestAndDisconnect(self) -> None:
        is_too_large = self._receivedHeaderSize > self.totalHeadersSize
        has_too_many = self._receivedHeaderCount > self.maxHeaders
        self.refuse(431 if is_too_large or has_too_many else 400)

    def requestDone(self, request: Request) -> None:
        if self._waitingForTransport and self.persistent:
            self._untaken = request
            self._patience.start()
        else:
            super().requestDone(request)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._untaken is not None:
            request, self._untaken = self._untaken, None
            self._patience.stop()
            super().requestDone(request)

    def loseConnection(self) -> None:
        super().loseConnection()
        # What is queued is still being sent, and over TLS a farewell is awaited.
        self._patience.start()

    def timeoutConnection(self) -> None:
        self.loseConnection()

    def _head_too_slow(self) -> None:
        self.refuse(408)

    def refuse(self, status: int) -> None:
        """Answer with a bare status and take nothing more from this client.

        The write side closes at once; the read side stays a moment, since a reset caused by bytes
        nobody read would overtake the answer (RFC 9112 section 9.6). The first refusal counts; what
        came in the same read may have more faults.
        """
        if self._refused:
            return
        self._refused = True
        self._stop_head_alarm()
        self.factory.on_refusal(peer_name(self.getPeer()), status)
        transport = cast(ITCPTransport, self.transport)
        transport.write(_bare_response(status))
        self._linger_alarm = self.callLater(LINGER_SECONDS, transport.abortConnection)
        close_writing = getattr(transport, "loseWriteConnection", self.loseConnection)
        close_writing()

    def _stop_head_alarm(self) -> None:
        _cancel(self._head_alarm)
        self._head_alarm = None

    def _linger(self, data: bytes) -> None:
        self._lingered_bytes += len(data)
        if self._lingered_bytes > LINGER_BYTES:
            cast(ITCPTransport, self.transport).abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
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


class DoorSite(Site):
    """The factory of the content endpoint: counts connections and admits a bounded number."""

    # HTTPFactory is annotated for its switch between HTTP/1.1 and HTTP/2, which is left out here.
    protocol = DoorChannel  # type: ignore[assignment]

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
            requestFactory=DoorRequest,
            timeout=settings.keep_alive_seconds,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
        self.settings = settings
        self.on_refusal = on_refusal
        self.connections: set[DoorChannel] = set()
        self.stall_seconds = stall_seconds
        self._is_full = False

    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> DoorChannel | None:
        if len(self.connections) >= self.settings.max_connections:
            if not self._is_full:
                _log.warn(
                    "{count} clients are connected (content.max_connections): more are turned away",
                    count=len(self.connections),
                )
            self._is_full = True
            return None
        self._is_full = False
        return cast(DoorChannel, super().buildProtocol(addr))

    def log(self, request: object) -> None:
        """Nothing: the transfer log is written where an exchange ends, which is elsewhere."""

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]
