"""The way through a SOCKS5 proxy (RFC 1928), the same for http and https.

socksio writes and reads the messages. It wants each of them whole and alone, so what is decided
here is where one ends; that nothing follows it, since a proxy that speaks before it is asked cannot
be answering; and what a refusal means. Each side speaks in turn:

| we say | what comes back | its bytes |
|---|---|---|
| the methods that we have | version 5, one of them | 2 |
| name and password (RFC 1929), where that is the method | version 1, 0 if they are right | 2 |
| CONNECT, and where to | version 5, a code, 0, an address | 10, 22, or 7 and a name |

So no more than 262 bytes are kept, and what follows the last of them is refused: neither HTTP nor
TLS has a server that speaks first, so the origin did not send it.

Refused too are GSSAPI, other commands than CONNECT, and SOCKS 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from socksio import ProtocolError
from socksio.socks5 import (
    SOCKS5AuthMethod,
    SOCKS5AuthMethodsRequest,
    SOCKS5AuthReply,
    SOCKS5Command,
    SOCKS5CommandRequest,
    SOCKS5Connection,
    SOCKS5Reply,
    SOCKS5ReplyCode,
    SOCKS5State,
    SOCKS5UsernamePasswordReply,
    SOCKS5UsernamePasswordRequest,
)
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from streamer.downloaders.addresses import Rule
from streamer.downloaders.dialing import admitted_addresses
from streamer.downloaders.tunnels import open_tunnel, unasked
from streamer.errors import ProxyFailed, ProxyRefused

MAX_ADDRESSES = 4
"""Of one host, where the proxy says of each that it cannot connect there: a few mirrors, or both
families twice."""

_Request = SOCKS5AuthMethodsRequest | SOCKS5UsernamePasswordRequest | SOCKS5CommandRequest

_LOGIN_REFUSED = "it wants credentials, or other ones"

_REFUSALS: Mapping[SOCKS5ReplyCode, tuple[type[ProxyFailed], str]] = {
    SOCKS5ReplyCode.GENERAL_SERVER_FAILURE: (ProxyFailed, "it does not come through to the host"),
    SOCKS5ReplyCode.CONNECTION_NOT_ALLOWED_BY_RULESET: (ProxyRefused, "it does not allow it"),
    SOCKS5ReplyCode.NETWORK_UNREACHABLE: (ProxyFailed, "it has no way to the host's network"),
    SOCKS5ReplyCode.HOST_UNREACHABLE: (ProxyFailed, "it has no way to the host"),
    SOCKS5ReplyCode.CONNECTION_REFUSED: (ProxyFailed, "it was refused by the host"),
    SOCKS5ReplyCode.TTL_EXPIRED: (ProxyFailed, "its way to the host is too long"),
    SOCKS5ReplyCode.COMMAND_NOT_SUPPORTED: (ProxyRefused, "it makes no connections"),
    SOCKS5ReplyCode.ADDRESS_TYPE_NOT_SUPPORTED: (ProxyRefused, "it does not know such addresses"),
}
"""RFC 1928 section 6. To ask again would be the same where the code is about the proxy itself."""

_NO_ADDRESS = b"\1" + bytes(6)
"""Of IPv4, with its port: where the proxy's own end is, which nobody asks."""


@implementer(IStreamClientEndpoint)
class SocksEndpoint:
    """A host and port behind a SOCKS5 proxy, as `tunnels.open_tunnel` has it.

    Where we resolve the host, the proxy is asked for one address after the other, while it answers
    that it cannot connect there; RFC 1928 wants a connection of its own for each.
    """

    def __init__(
        self,
        proxy: IStreamClientEndpoint,
        host: str,
        port: int,
        login: tuple[bytes, bytes] | None,
        seconds: float,
        reactor: Any,
        admits: Rule | None,
    ) -> None:
        """`admits` is the rule for what the host resolves to here.

        It is `None` where the proxy resolves, which is told the host as it is: a name of at most
        255 bytes, or an address.
        """
        self._proxy = proxy
        self._host = host
        self._port = port
        self._login = login
        self._seconds = seconds
        self._reactor = reactor
        self._admits = admits

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fail with `ProxyFailed`, or as `admitted_addresses` does."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        refusals: list[ProxyFailed] = []
        for host in await self._hosts():
            negotiation = SocksNegotiation(host, self._port, self._login)
            try:
                return await open_tunnel(
                    self._proxy, factory, negotiation, self._seconds, self._reactor
                )
            except ProxyFailed as fault:
                if not negotiation.is_answered:
                    raise
                refusals.append(fault)
        raise max(refusals, key=lambda fault: fault.may_recover)

    async def _hosts(self) -> Sequence[str]:
        if self._admits is None:
            return [self._host]
        found = await admitted_addresses(self._reactor, self._host, self._port, self._admits)
        return in_turn([each.host for each in found])[:MAX_ADDRESSES]


def in_turn(addresses: Sequence[str]) -> list[str]:
    """IPv6 and IPv4 by turns, beginning with the first (RFC 8305 section 4)."""
    begins_with_v6 = ":" in addresses[0]
    first = [address for address in addresses if (":" in address) is begins_with_v6]
    other = [address for address in addresses if (":" in address) is not begins_with_v6]
    return [address for pair in zip_longest(first, other) for address in pair if address]


class SocksNegotiation:
    """Asks for a connection to a host, a name or an address, and a port; see above.

    `is_answered` once the proxy has tried, or was not willing to: no other fault of it is about
    where to.
    """

    def __init__(self, host: str, port: int, login: tuple[bytes, bytes] | None) -> None:
        self.is_answered = False
        self._connection = SOCKS5Connection()
        self._request = SOCKS5CommandRequest.from_address(SOCKS5Command.CONNECT, (host, port))
        self._login = login
        self._methods = [SOCKS5AuthMethod.NO_AUTH_REQUIRED]
        if login is not None:
            self._methods.insert(0, SOCKS5AuthMethod.USERNAME_PASSWORD)
        self._received = b""

    @property
    def opening(self) -> bytes:
        return self._say(SOCKS5AuthMethodsRequest(self._methods))

    def feed(self, data: bytes) -> bytes | None:
        self._received += data
        if self._received[0] != self._version():
            raise _nonsense()
        missing = self._size() - len(self._received)
        if missing < 0:
            raise unasked()
        if missing > 0:
            return b""
        message, self._received = self._received, b""
        if self._is_last():
            # socksio takes the length of a name for a letter of it, which not every one is.
            message = message[:3] + _NO_ADDRESS
        try:
            return self._go_on(self._connection.receive_data(message))
        except ProtocolError as error:
            raise _nonsense() from error

    def _version(self) -> int:
        is_login = self._connection.state is SOCKS5State.SERVER_VERIFY_USERNAME_PASSWORD
        return 1 if is_login else 5

    def _is_last(self) -> bool:
        """Whether what comes is the answer to where to."""
        return self._connection.state is SOCKS5State.CLIENT_AUTHENTICATED

    def _size(self) -> int:
        """How long the message is that has begun, as far as its bytes say."""
        if not self._is_last():
            return 2
        # The length of a name is the first byte of an address.
        if len(self._received) < 5:
            return 5
        sizes = {1: 10, 3: 7 + self._received[4], 4: 22}
        if self._received[3] not in sizes:
            raise _nonsense()
        return sizes[self._received[3]]

    def _go_on(
        self, reply: SOCKS5AuthReply | SOCKS5UsernamePasswordReply | SOCKS5Reply
    ) -> bytes | None:
        match reply:
            case SOCKS5AuthReply(method):
                return self._choose(method)
            case SOCKS5UsernamePasswordReply(success):
                if not success:
                    raise ProxyRefused(_LOGIN_REFUSED)
                return self._say(self._request)
            case SOCKS5Reply(code):
                self._conclude(code)
                return None

    def _choose(self, method: SOCKS5AuthMethod) -> bytes:
        if method is SOCKS5AuthMethod.NO_ACCEPTABLE_METHODS:
            raise ProxyRefused(_LOGIN_REFUSED)
        if method not in self._methods:
            raise _nonsense()
        if method is SOCKS5AuthMethod.USERNAME_PASSWORD and self._login is not None:
            return self._say(SOCKS5UsernamePasswordRequest(*self._login))
        return self._say(self._request)

    def _conclude(self, code: SOCKS5ReplyCode) -> None:
        self.is_answered = True
        if code is not SOCKS5ReplyCode.SUCCEEDED:
            kind, sentence = _REFUSALS[code]
            raise kind(sentence)

    def _say(self, request: _Request) -> bytes:
        self._connection.send(request)
        return self._connection.data_to_send()


def _nonsense() -> ProxyFailed:
    return ProxyFailed("it does not speak SOCKS5")
