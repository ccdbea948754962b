"""The ways through a proxy: a tunnel for https, the whole URL as request target for http.

Twisted's `ProxyAgent` knows the second alone, and would send it an https URL, in the clear, with
all credentials in its fields. So the tunnel (RFC 9110 section 9.3.6) is an endpoint of our own, and
TLS with the origin runs inside it: the proxy learns a name and a port.

Kept apart from the connections because whatever fails here is the proxy's failure and never the
origin's. No sentence names the proxy's address, and the proxy's credentials are sent to it alone:
in the head of a CONNECT, or with a request in the clear that it takes off them.
"""

from __future__ import annotations

from typing import Any, NoReturn, cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    TCPTimedOutError,
)
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool, ProxyAgent, ResponseNeverReceived
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import directlyProvides, implementer, providedBy

from streamer.downloaders.heads import HeadReader
from streamer.errors import OriginNonsense, ProxyFailed, ProxyRefused

_FAULTS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((DNSLookupError,), "its name is not known"),
    ((ConnectTimeoutError, TCPTimedOutError), "no connection to it came about in time"),
    ((ConnectError,), "it refuses, or no way leads there"),
    ((SSL.Error,), "its TLS is not acceptable"),
    ((ConnectionClosed,), "it closed the connection"),
)


@implementer(IStreamClientEndpoint)
class ProxyEndpoint:
    """Connects to a proxy as another endpoint does; what goes wrong there is `ProxyFailed`."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        connected: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connected.addErrback(_as_proxy_failure)


def _as_proxy_failure(failure: Failure) -> Failure:
    for types, sentence in _FAULTS:
        if failure.check(*types):
            error = ProxyFailed(sentence)
            error.__cause__ = failure.value
            return Failure(error)
    return failure


def _status_failure(status: int) -> ProxyFailed:
    if status in (401, 407):
        return ProxyRefused(f"it wants credentials, or other ones ({status})")
    if status == 403:
        return ProxyRefused(f"it does not allow it ({status})")
    return ProxyFailed(f"it answers {status}")


# -- https -----------------------------------------------------------------------------------------


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """A host and port behind a proxy.

    Connecting completes when the proxy has opened the way, so that TLS begins on a connection that
    is there. It fails with `ProxyFailed`, also where the proxy takes longer than `seconds` to
    answer. Cancelled or failed, it leaves no connection.
    """

    def __init__(
        self,
        proxy: IStreamClientEndpoint,
        host: str,
        port: int,
        authorization: bytes | None,
        seconds: float,
        clock: IReactorTime,
    ) -> None:
        self._proxy = proxy
        self._request = _connect_head(host, port, authorization)
        self._seconds = seconds
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        tunnel = cast(Tunnel, await self._proxy.connect(_Tunnels(factory, self._request)))
        return await tunnel.opened.addTimeout(self._seconds, self._clock, _too_late)


def _too_late(result: object, seconds: float) -> NoReturn:
    raise ProxyFailed("it does not answer in time")


def _connect_head(host: str, port: int, authorization: bytes | None) -> bytes:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1".encode("ascii"), f"Host: {target}".encode("ascii")]
    if authorization is not None:
        lines.append(b"Proxy-Authorization: " + authorization)
    return b"\r\n".join([*lines, b"", b""])


class Tunnel(ProtocolWrapper):
    """A connection that is the proxy's until it says 2xx, and then whoever's asked for it.

    `opened` gives the protocol that the tunnel carries. That one is connected only then, and hears
    of no end before it was.
    """

    def __init__(self, factory: _Tunnels, carried: IProtocol) -> None:
        super().__init__(factory, carried)
        self.opened: Deferred[IProtocol] = Deferred(self._give_up)
        self._request = factory.request
        self._answer: HeadReader | None = HeadReader(opens_tunnel=True)
        self._is_open = False

    def makeConnection(self, transport: ITransport) -> None:
        # Not the wrapper's own, which would connect the carried protocol at once.
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        self.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self._is_open:
            self.wrappedProtocol.dataReceived(data)
        elif self._answer is not None:
            self._receive_answer(self._answer, data)

    def _receive_answer(self, answer: HeadReader, data: bytes) -> None:
        try:
            found = answer.feed(data)
        except OriginNonsense as fault:
            self._refuse(ProxyFailed(*fault.args))
            return
        if found is None:
            return
        head, rest = found
        if not 200 <= head.status < 300:
            self._refuse(_status_failure(head.status))
        elif rest:
            # A TLS server waits to be greeted: whatever this is, the origin did not send it.
            self._refuse(ProxyFailed("it sends what was not asked for"))
        else:
            self._open()

    def _open(self) -> None:
        self._is_open, self._answer = True, None
        self.wrappedProtocol.makeConnection(cast(ITransport, self))
        self.opened.callback(self.wrappedProtocol)

    def _refuse(self, error: ProxyFailed) -> None:
        self._give_up()
        self.opened.errback(error)

    def _give_up(self, _: object = None) -> None:
        self._answer = None
        self.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._is_open:
            super().connectionLost(reason)
            return
        self.factory.unregisterProtocol(self)
        if not self.opened.called:
            self._answer = None
            self.opened.errback(_as_proxy_failure(reason))


class _Tunnels(WrappingFactory[Tunnel]):
    protocol = Tunnel
    noisy = False

    def __init__(self, factory: IProtocolFactory, request: bytes) -> None:
        super().__init__(factory)
        self.request = request


# -- http ------------------------------------------------------------------------------------------


@implementer(IAgent)
class ForwardingAgent:
    """Asks a proxy for http:// URLs, with the credentials for it.

    A 407 is the proxy's answer and becomes `ProxyFailed`, and so does a failure of its TLS. All
    others may be the origin's. Other schemes are refused: their content is not the proxy's to see.
    """

    def __init__(
        self,
        reactor: Any,
        pool: HTTPConnectionPool,
        proxy: IStreamClientEndpoint,
        authorization: bytes | None,
    ) -> None:
        self._agent = ProxyAgent(proxy, reactor, pool)
        self._authorization = authorization

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        if not uri.lower().startswith(b"http://"):
            return fail(SchemeNotSupported())
        fields = Headers() if headers is None else headers.copy()
        if self._authorization is not None:
            fields.setRawHeaders(b"proxy-authorization", [self._authorization])
        # RFC 9112 section 3.2.2: an absolute URI, which has no fragment.
        target = uri.partition(b"#")[0]
        answered: Deferred[IResponse] = self._agent.request(method, target, fields, bodyProducer)
        return answered.addCallbacks(_unless_refused, _unless_proxys_tls)


def _unless_refused(response: IResponse) -> IResponse:
    if response.code != 407:
        return response
    farewell = _Farewell()
    response.deliverBody(farewell)
    farewell.leave()
    raise _status_failure(response.code)


def _unless_proxys_tls(failure: Failure) -> Failure:
    if failure.check(ResponseNeverReceived):
        for reason in cast(ResponseNeverReceived, failure.value).reasons:
            if reason.check(SSL.Error):
                return _as_proxy_failure(reason)
    return failure


class _Farewell(Protocol):
    """Takes nothing of a content, and ends its connection."""

    def leave(self) -> None:
        cast(IPushProducer, self.transport).stopProducing()
