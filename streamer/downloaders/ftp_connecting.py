"""Make a connection of FTP, control or data, under TLS or not.

All connections of a session are one TLS session: vsftpd and ProFTPD insist that each data
connection resumes that of the control connection, since it shows that whoever fetches is who has
logged in; and so it shows us that it is the same server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from OpenSSL import SSL
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

P = TypeVar("P", bound=IProtocol)


@implementer(IOpenSSLClientConnectionCreator)
class OneTlsSession:
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


async def connected(
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
