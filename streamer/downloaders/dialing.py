"""TCP to a host: look its name up, apply a rule to each address, connect to one of them.

The connection goes to the very address that was checked: a name that resolves otherwise a moment
later gains nothing, and neither does a number in disguise (`127.1`, `0x7f.1`, `2130706433`), which
`getaddrinfo` understands.

Several addresses are tried as RFC 8305 section 5 has it: in the resolver's order, the next one when
one has failed, or has not answered for a while; the first connection wins. Twisted's endpoint for
names does so too, but waits for that while after a refusal as well: 0.3 s for a server that is down
on a host that is up, the most common failure there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from streamer.downloaders.addresses import Rule
from streamer.errors import OriginProhibited

DELAY_SECONDS = 0.25
"""RFC 8305 section 8: how long an address is tried alone."""

MAX_ADDRESSES = 16
"""Who owns a name decides how many there are."""


@implementer(IStreamClientEndpoint)
class AdmittedEndpoint:
    """A host and port, at those of its addresses that a rule admits."""

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        seconds: float,
        admits: Rule,
        bind_address: str | None = None,
    ) -> None:
        """`seconds` limit each address; `bind_address` is the own address to connect from."""
        self._reactor = reactor
        self._host = host
        self._port = port
        self._seconds = seconds
        self._admits = admits
        self._bind_address = bind_address

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fail with `OriginProhibited` where the host has addresses and none is admitted.

        With `DNSLookupError` where it has none, else as the last of the attempts did.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        admitted = await admitted_addresses(self._reactor, self._host, self._port, self._admits)
        endpoints = [self._endpoint(address) for address in admitted[:MAX_ADDRESSES]]
        return await Race(endpoints, factory, self._reactor).winner

    def _endpoint(self, address: IPv4Address | IPv6Address) -> IStreamClientEndpoint:
        kind = TCP6ClientEndpoint if isinstance(address, IPv6Address) else TCP4ClientEndpoint
        own = None if self._bind_address is None else (self._bind_address, 0)
        endpoint: IStreamClientEndpoint = kind(
            self._reactor, address.host, address.port, self._seconds, own
        )
        return endpoint


async def admitted_addresses(
    reactor: Any, host: str, port: int, admits: Rule
) -> list[IPv4Address | IPv6Address]:
    """What a host stands for, as far as a rule admits it: at least one address.

    Fails as `AdmittedEndpoint` does where there is none.
    """
    found = await _addresses(reactor.nameResolver, host, port)
    if not found:
        raise DNSLookupError
    admitted = [each for each in found if admits(each.host)]
    if not admitted:
        raise OriginProhibited("its address is not public")
    return admitted


async def _addresses(
    resolver: IHostnameResolver, host: str, port: int
) -> list[IPv4Address | IPv6Address]:
    """What a host stands for, in the resolver's order; an address stands for itself."""
    try:
        kind = IPv4Address if ip_address(host).version == 4 else IPv6Address
    except ValueError:
        pass
    else:
        return [kind("TCP", host, port)]
    try:
        # `getaddrinfo` does the same in its thread, and nobody there expects it to fail.
        host.encode("idna")
    except UnicodeError:
        raise DNSLookupError from None
    receiver = _Receiver()
    resolver.resolveHostName(receiver, host, port)
    return await receiver.complete


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects what a resolver finds; a look-up that nobody waits for any more ends unheard."""

    def __init__(self) -> None:
        self.complete: Deferred[list[IPv4Address | IPv6Address]] = Deferred()
        self._found: list[IPv4Address | IPv6Address] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        pass

    def addressResolved(self, address: IAddress) -> None:
        if isinstance(address, IPv4Address | IPv6Address):
            self._found.append(address)

    def resolutionComplete(self) -> None:
        self.complete.callback(self._found)


class Race:
    """Attempts to connect, of which one is wanted.

    Rule: when `winner` has fired or was cancelled, no attempt is under way and no timer is left.
    """

    def __init__(
        self,
        endpoints: Iterable[IStreamClientEndpoint],
        factory: IProtocolFactory,
        clock: IReactorTime,
    ) -> None:
        self.winner: Deferred[IProtocol] = Deferred(lambda _: self._stop())
        self._endpoints: Iterator[IStreamClientEndpoint] = iter(endpoints)
        self._factory = factory
        self._clock = clock
        self._running: list[Deferred[IProtocol]] = []
        self._timer: IDelayedCall | None = None
        self._is_over = False
        self._begin()

    def _begin(self) -> None:
        """Try the next address, beside those that have not answered."""
        self._timer = None
        endpoint = next(self._endpoints, None)
        if endpoint is None:
            return
        self._timer = self._clock.callLater(DELAY_SECONDS, self._begin)
        attempt: Deferred[IProtocol] = endpoint.connect(self._factory)
        self._running.append(attempt)
        attempt.addCallbacks(self._won, self._lost, callbackArgs=(attempt,), errbackArgs=(attempt,))

    def _won(self, protocol: IProtocol, attempt: Deferred[IProtocol]) -> None:
        self._running.remove(attempt)
        self._stop()
        self.winner.callback(protocol)

    def _lost(self, failure: Failure, attempt: Deferred[IProtocol]) -> None:
        self._running.remove(attempt)
        if self._is_over:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._begin()
        if not self._running and not self._is_over:
            self._stop()
            self.winner.errback(failure)

    def _stop(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for attempt in [*self._running]:
            attempt.cancel()
