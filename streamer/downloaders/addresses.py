"""Which addresses may be connected to, decided on the address and never on the name or the URL.

Pure: the rules alone, because their table is long; `dialing` applies them. An operator's own URLs
may point anywhere; URLs learned from an origin only at public addresses. A prefix of its own that a
network translates to IPv4 (RFC 6052 section 2.2) cannot be known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import inet_aton, inet_ntoa

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
