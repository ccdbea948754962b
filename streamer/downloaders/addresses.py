"""Which addresses may be connected to, decided on the address and never on the name or the URL.

A rule is applied to what a name resolves to, and the connection goes to that very address: a name
that resolves otherwise a moment later gains nothing, and neither does a number in disguise
(`127.1`, `0x7f.1`, `2130706433`), which `getaddrinfo` understands. Kept apart from the agent
because the rule is pure and its table is long.

An operator's own URLs may point anywhere; URLs learned from an origin only at public addresses.
A prefix of its own that a network translates to IPv4 (RFC 6052 section 2.2) cannot be known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import inet_aton, inet_ntoa
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from streamer.errors import OriginUnreachable

Rule = Callable[[str], bool]
"""Whether an address, as text without a port, may be connected to."""

_NOT_PUBLIC_V4 = [
    IPv4Network("192.0.0.0/24"),  # RFC 6890 2.1: protocol assignments, which Python lets pass
    IPv4Network("192.88.99.0/24"),  # RFC 7526: relays of 6to4, no longer
]
_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""RFC 4291 section 2.4: the only part of IPv6 from which public addresses are given out."""

_NOT_PUBLIC_V6 = [
    IPv6Network("2001::/23"),  # RFC 2928: protocol assignments
    IPv6Network("2001:db8::/32"),  # RFC 3849: documentation
    IPv6Network("3fff::/20"),  # RFC 9637: documentation
]
_THIS_MACHINE = {
    "",
    *(f"localhost{family}" for family in ("", "4", "6")),
    *(f"localhost{family}.localdomain{family}" for family in ("", "4", "6")),
    "ip6-localhost",
    "ip6-loopback",
}
"""What `/etc/hosts` commonly calls it, of Debian's kind and of Fedora's."""

_ANY_NAME = "origin.invalid"
"""What Twisted's endpoint is told, which would refuse names that IDNA does not allow and DNS does:
those with an underscore, or with two hyphens in the third place."""

_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052 section 2.1: the IPv4 address is the last 32 bits."""


def anywhere(address: str) -> bool:
    """The rule for the URLs of an operator."""
    return True


def is_public(address: str) -> bool:
    """The rule for URLs learned from origins: an address that belongs to the whole Internet.

    Not loopback, private, shared by carriers, link-local, multicast, reserved or unspecified. An
    IPv6 address that stands for IPv4 ones is as public as they are; what is no address is not.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return _is_public_v4(parsed)
    if embedded := _embedded(parsed):
        return all(_is_public_v4(part) for part in embedded)
    # A zone (RFC 4007 section 11) makes an address one of the machine's own links.
    return (
        parsed.scope_id is None
        and parsed in _GLOBAL_UNICAST
        and not any(parsed in network for network in _NOT_PUBLIC_V6)
    )


def _is_public_v4(address: IPv4Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _NOT_PUBLIC_V4)
    )


def _embedded(address: IPv6Address) -> Sequence[IPv4Address]:
    """The IPv4 addresses that packets to this address end up at, or may."""
    if address.ipv4_mapped is not None:  # RFC 4291 section 2.5.5.2
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:  # RFC 3056 section 2
        return (address.sixtofour,)
    if address.teredo is not None:  # RFC 4380 section 4: server and client
        return address.teredo
    if address in _NAT64:
        return (IPv4Address(address.packed[-4:]),)
    return ()


def may_be_public(host: str) -> bool:
    """What can be said of a host's name or address as written, where a proxy will resolve it.

    An address has to be public, as a number in disguise too; and so no name of this very machine
    (RFC 6761 section 6.3). What any other name leads to, only the proxy can judge.
    """
    name = host.rstrip(".").lower()
    try:
        # The kind reading of `getaddrinfo`, which a proxy has as well.
        return is_public(inet_ntoa(inet_aton(name)))
    except OSError:
        pass
    if ":" in name:
        return is_public(name)
    return name not in _THIS_MACHINE and not name.endswith(".localhost")


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
        """`bind_address` is the own address to connect from."""
        self._bind_address = bind_address
        self._reactor = reactor
        self._host = host
        self._port = port
        self._seconds = seconds
        self._admits = admits

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fail with `OriginUnreachable` where the host has addresses and none is admitted."""
        try:
            # `getaddrinfo` does the same in its thread, and nobody there expects it to fail.
            self._host.encode("idna")
        except UnicodeError:
            return fail(DNSLookupError())
        names = _AdmittedNames(self._reactor.nameResolver, self._host, self._admits)
        endpoint = HostnameEndpoint(
            _ReactorWithNames(self._reactor, names),
            _ANY_NAME,
            self._port,
            self._seconds,
            self._bind_address,
        )
        connected: Deferred[IProtocol] = endpoint.connect(protocolFactory)
        return connected.addErrback(names.explain)


@implementer(IHostnameResolver)
class _AdmittedNames:
    """Resolves one host, whatever it is asked for, and keeps back what the rule does not admit."""

    def __init__(self, resolver: IHostnameResolver, host: str, admits: Rule) -> None:
        self._resolver = resolver
        self._host = host
        self._admits = admits
        self._kept_back = False

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        receiver = _Receiver(resolutionReceiver, self._is_admitted)
        resolution: IHostResolution = self._resolver.resolveHostName(
            receiver, self._host, portNumber, addressTypes, transportSemantics
        )
        return resolution

    def _is_admitted(self, address: IAddress) -> bool:
        is_admitted = self._admits(getattr(address, "host", ""))
        self._kept_back |= not is_admitted
        return is_admitted

    def explain(self, failure: Failure) -> Failure:
        if self._kept_back and failure.check(DNSLookupError):
            raise OriginUnreachable("its address is not public") from failure.value
        return failure


@implementer(IResolutionReceiver)
class _Receiver:
    def __init__(self, inner: IResolutionReceiver, admits: Callable[[IAddress], bool]) -> None:
        self._admits = admits
        self._inner = inner

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._inner.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: IAddress) -> None:
        if self._admits(address):
            self._inner.addressResolved(address)

    def resolutionComplete(self) -> None:
        self._inner.resolutionComplete()


class _ReactorWithNames:
    """The reactor, but for its resolver: HostnameEndpoint takes both from one object."""

    def __init__(self, reactor: IReactorPluggableNameResolver, names: _AdmittedNames) -> None:
        directlyProvides(self, providedBy(reactor))
        self._reactor = reactor
        self.nameResolver = names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)
