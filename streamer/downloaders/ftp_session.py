"""A session with an FTP server: logged in once, asked for one file after the other.

Joins the control connection, what is said on it, and the data connections that it leads to. Those
go to the address of the control connection and nowhere else, whatever a server says. Under TLS
every one resumes the TLS session of the control connection: vsftpd and ProFTPD insist on it, since
it shows that whoever fetches is who has logged in; and so it shows us that it is the same server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from OpenSSL import SSL
from twisted.internet.abstract import isIPv6Address
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from streamer.downloaders import ftp_dialogues as say
from streamer.downloaders.addresses import anywhere
from streamer.downloaders.dialing import AdmittedEndpoint
from streamer.downloaders.ftp_control import Control
from streamer.downloaders.ftp_data import DataConnection
from streamer.downloaders.ftp_places import Login, Server
from streamer.downloaders.ftp_replies import Reply
from streamer.errors import OriginRefused
from streamer.ranges import ByteRange

P = TypeVar("P", Control, DataConnection)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A file that a server has begun to send.

    `size` is what it says that the whole file has; with a `span`, which it has agreed to begin at,
    the content is that part.
    """

    data: DataConnection
    size: int | None
    span: ByteRange | None = None


class Dial:
    """How connections to servers are made."""

    def __init__(
        self,
        reactor: Any,
        policy: IPolicyForHTTPS,
        *,
        seconds: float,
        explicit_tls: bool,
        bind_address: str | None,
    ) -> None:
        """`explicit_tls` says that AUTH TLS is asked for where the scheme is ftp."""
        self._reactor = reactor
        self._policy = policy
        self._seconds = seconds
        self._explicit_tls = explicit_tls
        self._bind_address = bind_address

    async def log_in(self, server: Server, login: Login) -> Session:
        """A new session; raises an `OriginError` or what Twisted raises on the way."""
        is_implicit = server.scheme == "ftps"
        tls = _OneSession(self._creator(server)) if is_implicit or self._explicit_tls else None
        where = AdmittedEndpoint(
            self._reactor, server.host, server.port, self._seconds, anywhere, self._bind_address
        )
        control = await _connected(
            lambda: Control(is_tls=is_implicit), where, tls if is_implicit else None
        )
        try:
            say.check_greeting(await control.greeting())
            if tls is not None and not is_implicit:
                await control.hold(say.ask_for_tls())
                control.start_tls(tls)
            await control.hold(say.log_in(login))
            if tls is not None:
                await control.hold(say.protect_content())
            await control.hold(say.send_bytes_as_they_are())
        except BaseException:
            control.drop()
            raise
        return Session(control, self, tls)

    async def data_connection(
        self, address: str, port: int, tls: IOpenSSLClientConnectionCreator | None
    ) -> DataConnection:
        """Connect to a port that a server has named."""
        own = None if self._bind_address is None else (self._bind_address, 0)
        kind = TCP6ClientEndpoint if isIPv6Address(address) else TCP4ClientEndpoint
        where = kind(self._reactor, address, port, self._seconds, own)
        return await _connected(lambda: DataConnection(is_tls=tls is not None), where, tls)

    def _creator(self, server: Server) -> IOpenSSLClientConnectionCreator:
        creator: IOpenSSLClientConnectionCreator = self._policy.creatorForNetloc(
            server.host.encode("ascii"), server.port
        )
        return creator


class Session:
    """One control connection that has logged in, and what is fetched by it, one at a time."""

    def __init__(
        self, control: Control, dial: Dial, tls: IOpenSSLClientConnectionCreator | None
    ) -> None:
        self.control = control
        self._dial = dial
        self._tls = tls
        self._is_extended = True
        self._is_between = True

    @property
    def is_reusable(self) -> bool:
        """Whether the next file may be asked for: nothing of the last one can be left over."""
        return self._is_between and not self.control.is_over

    async def retrieve(self, path: bytes, span: ByteRange | None) -> Retrieval:
        """Ask for a file, or for `span` of it; completes when its content is on the way.

        A span that the server cannot begin at, or does not say that it has, becomes all of it.
        """
        size = await self.control.hold(say.ask_for_size(path))
        data = await self._data_connection()
        try:
            if span is not None and (size is None or span.last >= size):
                span = None
            if span is not None and span.first > 0:
                asked = say.ask_to_start_at(span.first)
                span = span if await self.control.hold(asked) else None
            await self._begin(path)
            await data.ready
        except BaseException:
            data.abort()
            raise
        return Retrieval(data, size, span)

    async def end(self) -> Reply:
        """What the server says when it has sent all; raises where it says nothing more."""
        reply = await self.control.end()
        self._is_between = say.has_sent_all(reply)
        return reply

    def drop(self) -> None:
        """Close the control connection; idempotent."""
        self.control.drop()

    async def _begin(self, path: bytes) -> None:
        reply = await self.control.begin(b"RETR " + path)
        if reply.kind != 1:
            raise say.refusal(reply)

    async def _data_connection(self) -> DataConnection:
        """By EPSV; by PASV where that is not offered or leads nowhere, as behind old firewalls."""
        # A port that was named and a position that was agreed may outlive a RETR that fails.
        self._is_between = False
        is_ipv6 = isIPv6Address(self.control.peer)
        if self._is_extended:
            port = await self.control.hold(say.ask_for_extended_port())
            if port is not None:
                try:
                    return await self._connect(port)
                except (ConnectError, ConnectTimeoutError):
                    if is_ipv6:
                        raise
            self._is_extended = is_ipv6
        if is_ipv6:
            raise OriginRefused(501)
        return await self._connect(await self.control.hold(say.ask_for_port(self.control.peer)))

    async def _connect(self, port: int) -> DataConnection:
        return await self._dial.data_connection(self.control.peer, port, self._tls)


@implementer(IOpenSSLClientConnectionCreator)
class _OneSession:
    """TLS of one control connection, which all its data connections resume."""

    def __init__(self, creator: IOpenSSLClientConnectionCreator) -> None:
        self._creator = creator
        self._control: SSL.Connection | None = None

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection: SSL.Connection = self._creator.clientConnectionForTLS(tlsProtocol)
        if self._control is None:
            self._control = connection
        elif (session := self._control.get_session()) is not None:
            connection.set_session(session)
        return connection


async def _connected(
    make: Callable[[], P],
    endpoint: IStreamClientEndpoint,
    tls: IOpenSSLClientConnectionCreator | None,
) -> P:
    if tls is not None:
        endpoint = wrapClientTLS(tls, endpoint)
    # What an endpoint connects is the protocol that its factory made, below TLS too.
    return cast(P, await endpoint.connect(_Making(make)))


@implementer(IProtocolFactory)
class _Making:
    """A factory of protocols that know nothing of factories."""

    def __init__(self, make: Callable[[], IProtocol]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress) -> IProtocol:
        return self._make()

    def doStart(self) -> None:
        """Nothing begins with a connection."""

    def doStop(self) -> None:
        """Nothing ends with one."""
