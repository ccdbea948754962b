"""Tunnels through a proxy: how one is opened, and what it carries then.

Twisted has none, so a tunnel is an endpoint of our own, and TLS with the origin runs inside it: the
proxy learns where to, and no more. What is said until it is open is a `Negotiation`: that of an
HTTP proxy here, by CONNECT (RFC 9110 section 9.3.6), that of a SOCKS proxy in `socks`.

Kept apart from the connections because whatever fails here is the proxy's failure and never the
origin's. No sentence names the proxy's address, and the proxy's credentials are sent to it alone,
before the tunnel is open.
"""

from __future__ import annotations

import typing
from typing import NoReturn, cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred
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
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
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
        return connected.addErrback(as_proxy_failure)


def as_proxy_failure(failure: Failure) -> Failure:
    for types, sentence in _FAULTS:
        if failure.check(*types):
            error = ProxyFailed(sentence)
            error.__cause__ = failure.value
            return Failure(error)
    return failure


def status_failure(status: int) -> ProxyFailed:
    if status in (401, 407):
        return ProxyRefused(f"it wants credentials, or other ones ({status})")
    if status == 403:
        return ProxyRefused(f"it does not allow it ({status})")
    return ProxyFailed(f"it answers {status}")


# -- tunnels ---------------------------------------------------------------------------------------


class Negotiation(typing.Protocol):
    """What is said on one connection to a proxy until it has opened a way. Pure."""

    @property
    def opening(self) -> bytes:
        """What is said first; asked for once."""

    def feed(self, data: bytes) -> bytes | None:
        """Take what the proxy said; give what is said next, or `None` once the way is open.

        Raises `ProxyFailed`; it is of no use after that.
        """


async def open_tunnel(
    proxy: IStreamClientEndpoint,
    factory: IProtocolFactory,
    negotiation: Negotiation,
    seconds: float,
    clock: IReactorTime,
) -> IProtocol:
    """Connect to a proxy, and give the protocol of `factory` when it has opened the way.

    Fails with `ProxyFailed`, also where the proxy takes longer than `seconds` once it is connected
    to. Cancelled or failed, it leaves no connection.
    """
    tunnel = cast(Tunnel, await proxy.connect(_Tunnels(factory, negotiation)))
    return await tunnel.opened.addTimeout(seconds, clock, _too_late)


def _too_late(result: object, seconds: float) -> NoReturn:
    raise ProxyFailed("it does not answer in time")


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """A host and port behind an HTTP proxy, as `open_tunnel` has it.

    Connecting completes when the proxy has opened the way, so that TLS begins on a connection that
    is there.
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
        self._head = _connect_head(host, port, authorization)
        self._seconds = seconds
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        negotiation = ConnectNegotiation(self._head)
        opened = open_tunnel(self._proxy, protocolFactory, negotiation, self._seconds, self._clock)
        return Deferred.fromCoroutine(opened)


def _connect_head(host: str, port: int, authorization: bytes | None) -> bytes:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1".encode("ascii"), f"Host: {target}".encode("ascii")]
    if authorization is not None:
        lines.append(b"Proxy-Authorization: " + authorization)
    return b"\r\n".join([*lines, b"", b""])


class ConnectNegotiation:
    """A CONNECT request, and an answer that is a head and nothing else."""

    def __init__(self, opening: bytes) -> None:
        self.opening = opening
        self._answer = HeadReader(opens_tunnel=True)

    def feed(self, data: bytes) -> bytes | None:
        try:
            found = self._answer.feed(data)
        except OriginNonsense as fault:
            raise ProxyFailed(*fault.args) from fault
        if found is None:
            return b""
        head, rest = found
        if not 200 <= head.status < 300:
            raise status_failure(head.status)
        if rest:
            # A TLS server waits to be greeted: whatever this is, the origin did not send it.
            raise unasked()
        return None


def unasked() -> ProxyFailed:
    """What becomes of a proxy that says more than it was asked."""
    return ProxyFailed("it sends what was not asked for")


class Tunnel(ProtocolWrapper):
    """A connection that is the proxy's until it has opened a way, and then whoever's asked for it.

    `opened` gives the protocol that the tunnel carries. That one is connected only then, and hears
    of no end before it was.
    """

    def __init__(self, factory: _Tunnels, carried: IProtocol) -> None:
        super().__init__(factory, carried)
        self.opened: Deferred[IProtocol] = Deferred(self._give_up)
        self._negotiation: Negotiation | None = factory.negotiation
        self._is_open = False

    def makeConnection(self, transport: ITransport) -> None:
        # Not the wrapper's own, which would connect the carried protocol at once.
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        self.write(self.factory.negotiation.opening)

    def dataReceived(self, data: bytes) -> None:
        if self._is_open:
            self.wrappedProtocol.dataReceived(data)
        elif self._negotiation is not None:
            self._negotiate(self._negotiation, data)

    def _negotiate(self, negotiation: Negotiation, data: bytes) -> None:
        try:
            reply = negotiation.feed(data)
        except ProxyFailed as fault:
            self._refuse(fault)
            return
        if reply is None:
            self._open()
        elif reply:
            self.write(reply)

    def _open(self) -> None:
        self._is_open, self._negotiation = True, None
        self.wrappedProtocol.makeConnection(cast(ITransport, self))
        self.opened.callback(self.wrappedProtocol)

    def _refuse(self, error: ProxyFailed) -> None:
        self._give_up()
        self.opened.errback(error)

    def _give_up(self, _: object = None) -> None:
        self._negotiation = None
        self.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._is_open:
            super().connectionLost(reason)
            return
        self.factory.unregisterProtocol(self)
        if not self.opened.called:
            self._negotiation = None
            self.opened.errback(as_proxy_failure(reason))


class _Tunnels(WrappingFactory[Tunnel]):
    protocol = Tunnel
    noisy = False

    def __init__(self, factory: IProtocolFactory, negotiation: Negotiation) -> None:
        super().__init__(factory)
        self.negotiation = negotiation
